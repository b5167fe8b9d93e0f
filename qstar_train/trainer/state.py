"""The saved state of a run: learning weights, Adam's moments and the method's own state as
safetensors, the step as JSON.

Everything else (learning rates, data, noise) is a function of the config and the step.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from qstar_infer.errors import CheckpointError
from qstar_train.atomic_write import replacing

WEIGHTS = "weights.safetensors"
MOMENTS = "optimizer.safetensors"
METHOD = "method.safetensors"
"""Only there if the method keeps a state."""
STATE = "state.json"
NUM_KEPT = 2


def save_state(
    directory: Path,
    step: int,
    module: nn.Module,
    optimizer: Optimizer,
    *,
    method_state: dict[str, Tensor] | None = None,
    keep_every: int | None = None,
    is_main: bool,
) -> None:
    """Write the state after `step` updates to `directory/step-NNNNNN`, completely or not at all.

    Every process takes part in gathering; the main one writes, and deletes all but the two newest
    states and those whose step is a multiple of `keep_every`.

    Raises:
        CheckpointError: it cannot be written; earlier states are kept.
    """
    gathered = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights = _gathered(module)
    moments = get_optimizer_state_dict(module, optimizer, options=gathered)
    if not is_main:  # only the main process has received anything
        return
    with replacing(directory / f"step-{step:06d}") as new:
        new.mkdir(parents=True)
        save_file(_separate(weights), new / WEIGHTS)
        save_file(_separate(_flatten(moments)), new / MOMENTS)
        if method_state:
            save_file(_separate(method_state), new / METHOD)
        (new / STATE).write_text(json.dumps({"step": step}) + "\n", encoding="utf-8")
    for old in saved_states(directory)[:-NUM_KEPT]:
        if keep_every is None or state_step(old) % keep_every:
            shutil.rmtree(old)


def _gathered(module: nn.Module) -> dict[str, Tensor]:
    """The learning weights, unsharded, on the CPU.

    torch's own function also asks for the buffers of frozen layers, which quantised layers lack.
    """
    return {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()
        for name, tensor in _learning(module).items()
    }


def load_state(directory: Path, module: nn.Module, optimizer: Optimizer) -> int:
    """Restore weights and moments that `save_state` wrote; return the number of updates made.

    Raises:
        CheckpointError: a file is damaged, or does not fit the model.
    """
    step = _step_of(directory)
    load_weights(directory, module)
    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
    optimizer_state: dict[str, Any] = get_optimizer_state_dict(module, optimizer, options=options)
    moments = _read(directory / MOMENTS)
    _check_shapes(directory / MOMENTS, moments, _shapes(_flatten(optimizer_state)))
    optimizer_state["state"] = _unflatten(moments)
    set_optimizer_state_dict(module, optimizer, optimizer_state, options=options)
    return step


def load_method_state(directory: Path) -> dict[str, Tensor]:
    """The method's own state; empty if it keeps none.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = directory / METHOD
    return _read(path) if path.exists() else {}


def load_weights(directory: Path, module: nn.Module) -> None:
    """Restore the learning weights of a state.

    Raises:
        CheckpointError: the file is damaged, or does not fit the model.
    """
    weights: dict[str, Any] = _read(directory / WEIGHTS)
    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)
    _check_shapes(directory / WEIGHTS, weights, _shapes(_learning(module)))
    set_model_state_dict(module, weights, options=options)


def _step_of(directory: Path) -> int:
    path = directory / STATE
    try:
        step: int = json.loads(path.read_bytes())["step"]
        if directory.name != f"step-{step:06d}":
            raise ValueError(f"it says step {step}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path} does not belong to {directory.name} "
            f"({type(error).__name__}: {error}). {_advice(path)}"
        ) from error
    return step


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. {_advice(path)}") from error


def _check_shapes(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]
) -> None:
    """Check that the file has the names and shapes of the model."""
    held = _shapes(tensors)
    odd = sorted(set(held.items()) ^ set(expected.items()))
    if odd:
        name = odd[0][0]
        in_file, in_model = (
            f"has shape {list(shapes[name])}" if name in shapes else "is missing"
            for shapes in (held, expected)
        )
        raise CheckpointError(
            f"{path} does not fit the model: {name} {in_file} in the file and {in_model} in the "
            f"model. If the model has changed, restore the old one. If not: {_advice(path)}"
        )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _advice(path: Path) -> str:
    return f"Delete {path.parent}; the run then resumes from the state before it."


def _learning(module: nn.Module) -> dict[str, Tensor]:
    """The learning parameters, tied ones once, by their names without DDP's prefix."""
    return {
        name.removeprefix("module."): parameter.detach()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def saved_states(directory: Path) -> list[Path]:
    """The states of a run, oldest first."""
    states = [
        path
        for path in directory.glob("step-*")
        if path.name.removeprefix("step-").isdecimal() and (path / STATE).is_file()
    ]
    return sorted(states, key=state_step)


def state_step(state: Path) -> int:
    """The number of updates before a saved state, from its name."""
    return int(state.name.removeprefix("step-"))


def _flatten(optimizer_state: dict[str, Any]) -> dict[str, Tensor]:
    """`name/exp_avg`, `name/exp_avg_sq`, `name/step` to tensors."""
    return {
        f"{name}/{kind}": torch.as_tensor(value)
        for name, values in optimizer_state["state"].items()
        for kind, value in values.items()
    }


def _unflatten(moments: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    state: dict[str, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        name, _, kind = key.rpartition("/")
        state.setdefault(name, {})[kind] = tensor
    return state


def _separate(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Contiguous copies: safetensors rejects tensors that share memory, as tied weights do."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
