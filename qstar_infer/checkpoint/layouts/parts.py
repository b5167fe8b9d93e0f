"""Builds thought parts from the tensors of another code base."""

from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from qstar_infer.checkpoint.backbone import input_embedding_row
from qstar_infer.checkpoint.layouts.heads import inverted, joined
from qstar_infer.checkpoint.layouts.layout import StoredHead, ThoughtLayout, ThoughtVector
from qstar_infer.checkpoint.native import build_thought_parts, check_values
from qstar_infer.checkpoint.tensors import backbone_tensor_files, read_tensors
from qstar_infer.model.config import TalkHeadConfig
from qstar_infer.model.thought_parts import ThoughtParts


def read_thought_parts(
    layout: ThoughtLayout, directory: Path, *, backbone: PreTrainedModel, ids: tuple[int, int]
) -> ThoughtParts:
    """Thought parts in float32, on the CPU.

    Args:
        layout: of the checkpoint.
        directory: holds it.
        backbone: its backbone, whose embedding may hold the thought vectors.
        ids: of the delimiters.

    Raises:
        CheckpointError: a tensor is not floating point or not finite.
    """
    stored = _read(directory, list(layout.shapes))
    check_values(stored, directory)
    ours, talk_head = _head(layout.head, stored)
    vectors = {"start_thought": layout.start, "end_thought": layout.end}
    for (name, vector), token_id in zip(vectors.items(), ids, strict=True):
        ours[name] = _vector(vector, stored, backbone, token_id)
    return build_thought_parts(ours, talk_head=talk_head, where=directory)


def _read(directory: Path, names: list[str]) -> dict[str, Tensor]:
    files = backbone_tensor_files(directory)
    tensors: dict[str, Tensor] = {}
    for path in {files[name] for name in names}:
        tensors |= read_tensors(path, [name for name in names if files[name] == path])
    return tensors


def _head(head: StoredHead, stored: dict[str, Tensor]) -> tuple[dict[str, Tensor], TalkHeadConfig]:
    """The tensors of the talk head under our names, and its shape."""
    ours: dict[str, Tensor] = {}
    for index, modules in enumerate(head.layers):
        weights = [stored[f"{module}.weight"] for module in modules]
        biases = [stored[f"{module}.bias"] for module in modules if f"{module}.bias" in stored]
        if len(modules) > 1:
            weight, bias = joined(weights, biases)
            weights, biases = [weight], [bias]
        ours[f"talk_head.{2 * index}.weight"] = weights[0]
        if biases:
            ours[f"talk_head.{2 * index}.bias"] = biases[0]
    return inverted(ours, head.config) if head.weighs_base else (ours, head.config)


def _vector(
    vector: ThoughtVector, stored: dict[str, Tensor], backbone: PreTrainedModel, token_id: int
) -> Tensor:
    """`[hidden]`, float32."""
    if vector.tensor is None:
        return input_embedding_row(backbone, token_id)
    values = stored[vector.tensor] if vector.row is None else stored[vector.tensor][vector.row]
    # Scaled in float32: the file's bfloat16 would round again.
    return values.float() * vector.scale
