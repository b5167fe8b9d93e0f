"""Thought parts from and to named tensors, checked."""

from pathlib import Path

import torch
from torch import Tensor

from qstar_infer.checkpoint.tensors import require_finite
from qstar_infer.errors import CheckpointError
from qstar_infer.model.thought_parts import ThoughtParts


def thought_part_shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the thought parts of a model this wide."""
    with torch.device("meta"):
        parts = ThoughtParts(hidden)
    return {name: tuple(tensor.shape) for name, tensor in parts.state_dict().items()}


def require_shapes(
    tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], where: Path
) -> None:
    """Check that exactly these tensors are there, of these shapes, floating point and finite.

    Raises:
        CheckpointError: naming the tensor at fault.
    """
    missing = sorted(set(shapes) - set(tensors))
    if missing:
        raise CheckpointError(
            f"{where} lacks the thought parts {', '.join(missing)}. "
            "Save or fetch the checkpoint again."
        )
    unknown = sorted(set(tensors) - set(shapes))
    if unknown:
        raise CheckpointError(
            f"{where} holds tensors that are no thought parts known here: {', '.join(unknown)}. "
            "It was written by another version or another program."
        )
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape or not tensors[name].is_floating_point():
            raise CheckpointError(
                f"{name} in {where} is {tensors[name].dtype} of shape "
                f"{list(tensors[name].shape)}; this backbone needs floating point of shape "
                f"{list(shape)}. The thought parts belong to another model."
            )
    require_finite(tensors, where)


def build_thought_parts(tensors: dict[str, Tensor], *, hidden: int, where: Path) -> ThoughtParts:
    """Thought parts in float32 from tensors named as in `quiet_star.safetensors`.

    Args:
        tensors: `talk_head.*`, `start_thought` and `end_thought`, in any float dtype.
        hidden: the backbone's width.
        where: the file they come from, for messages.

    Raises:
        CheckpointError: a tensor is missing, unknown, misshapen, or not finite.
    """
    require_shapes(tensors, thought_part_shapes(hidden), where)
    parts = ThoughtParts(hidden)
    parts.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return parts
