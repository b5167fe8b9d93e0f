"""A run's state at a step: what learns and its moments as safetensors, the step as JSON.

Everything else (learning rate, data, noise) is a function of the settings and the step.
"""

import json
import shutil
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

from qstar_infer.errors import CheckpointError, ConfigError

WEIGHTS = "weights.safetensors"
MOMENTS = "optimizer.safetensors"
STATE = "state.json"
NUM_KEPT = 2


def save_state(
    directory: Path, step: int, module: nn.Module, optimizer: Optimizer, *, is_main: bool
) -> None:
    """Write the state after `step` updates to `directory/step-NNNNNN`, whole or not at all.

    Every process takes part in gathering; the main one writes. Older states than the newest two are
    removed.
    """
    gathered = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights = _gathered(module)
    moments = get_optimizer_state_dict(module, optimizer, options=gathered)
    if not is_main:  # only the main process has been given anything
        return
    target = directory / f"step-{step:06d}"
    temporary = directory / f".{target.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(_separate(weights), temporary / WEIGHTS)
    save_file(_separate(_flatten(moments)), temporary / MOMENTS)
    (temporary / STATE).write_text(json.dumps({"step": step}) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in saved_states(directory)[:-NUM_KEPT]:
        shutil.rmtree(old)


def _gathered(module: nn.Module) -> dict[str, Tensor]:
    """What learns, whole and on the CPU. Not by torch's own function, which asks frozen layers for
    buffers that quantised ones have not.
    """
    return {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()
        for name, tensor in _learning(module).items()
    }


def load_state(directory: Path, module: nn.Module, optimizer: Optimizer) -> int:
    """Restore a state that `save_state` wrote; returns how many updates it has behind it.

    Raises:
        CheckpointError: a file is damaged.
        ConfigError: the state does not fit the model.
    """
    load_weights(directory, module)
    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
    optimizer_state: dict[str, Any] = get_optimizer_state_dict(module, optimizer, options=options)
    optimizer_state["state"] = _unflatten(_read(directory / MOMENTS))
    set_optimizer_state_dict(module, optimizer, optimizer_state, options=options)
    step: int = json.loads((directory / STATE).read_text(encoding="utf-8"))["step"]
    return step


def load_weights(directory: Path, module: nn.Module) -> None:
    """Restore what learns from a state.

    Raises:
        CheckpointError: the file is damaged.
        ConfigError: the state does not fit the model.
    """
    weights: dict[str, Any] = _read(directory / WEIGHTS)
    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)
    expected = set(_learning(module))
    if set(weights) != expected:
        odd = sorted(set(weights) ^ expected)
        raise ConfigError(
            f"{directory} does not fit the model: {odd[0]} and {len(odd) - 1} more are in only one "
            "of them. Resume with the settings that the run was started with."
        )
    set_model_state_dict(module, weights, options=options)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Delete {path.parent}, and the run resumes from the "
            "state before it."
        ) from error


def _learning(module: nn.Module) -> dict[str, Tensor]:
    """What learns, of tied weights one, by names without what DDP puts before them."""
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
    """How many updates a saved state has behind it, by its name."""
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
    """Contiguous copies: safetensors refuses tensors that share memory, as tied weights do."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
