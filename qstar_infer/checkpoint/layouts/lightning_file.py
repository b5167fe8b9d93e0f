"""Reads a Lightning checkpoint of `expz/quiet-star` and accounts for its keys."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.torch_file import read_torch_file
from qstar_infer.errors import CheckpointError

_TRAINER_KEYS = (
    *("epoch", "global_step", "pytorch-lightning_version", "loops", "callbacks", "lr_schedulers"),
    *("optimizer_states", "hparams_name", "native_amp_scaling_state", "MixedPrecision"),
)
_TRAINING_KEYS = (
    *("accumulate_batches", "batch_size", "betas", "embedding_grad_weight", "embedding_init_token"),
    *("epochs", "learning_rate", "log_interval", "logger", "max_samples", "model", "num_thoughts"),
    *("optimizer_warmup", "policy_weight", "save_interval_hours", "save_top_k", "seed"),
    *("temperature", "test_pct", "weight_decay"),
)
"""Of `hyper_parameters.config`. They do not change what a trained model computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningFile:
    """What a model needs of a file."""

    path: Path
    tensors: dict[str, Tensor]
    """The `state_dict`; dense, on the CPU."""
    config: dict[str, Any]
    """`hyper_parameters.config`."""


def read_lightning_file(path: Path) -> LightningFile:
    """Read a file and account for its keys.

    Raises:
        CheckpointError: the file is damaged, names code, or has keys that are missing or unknown.
    """
    content = read_torch_file(path)
    _judge_keys(content, str(path), used=("state_dict", "hyper_parameters"), harmless=_TRAINER_KEYS)
    hyper = _as_dict(content["hyper_parameters"], path, "hyper_parameters")
    _judge_keys(hyper, f"hyper_parameters of {path}", used=("config",))
    config = _as_dict(hyper["config"], path, "hyper_parameters.config")
    _judge_keys(
        config,
        f"hyper_parameters.config of {path}",
        used=("thought_length",),
        harmless=("lookahead_tokens", *_TRAINING_KEYS),
    )
    tensors = _as_dict(content["state_dict"], path, "state_dict")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
            raise CheckpointError(
                f"{name} in the state_dict of {path} is not a dense tensor. Give the file that the "
                "trainer wrote."
            )
    return LightningFile(path=path, tensors=tensors, config=config)


def integer_setting(file: LightningFile, key: str, *, default: int, minimum: int) -> int:
    """An integer of `hyper_parameters.config`.

    Raises:
        CheckpointError: not an integer of at least `minimum`.
    """
    value = file.config.get(key, default)
    if type(value) is not int or value < minimum:
        raise CheckpointError(
            f"{file.path} has hyper_parameters.config.{key} = {value!r}; it must be an integer of "
            f"at least {minimum}. Correct it, or use an intact file."
        )
    return value


def _as_dict(value: Any, path: Path, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CheckpointError(
            f"{path} has a {type(value).__name__} as {name}; a dict with string keys is needed. "
            "Save it again as docs/loading.md, 'Lightning files', shows."
        )
    return dict(value)


def _judge_keys(
    values: dict[str, Any], where: str, *, used: tuple[str, ...], harmless: tuple[str, ...] = ()
) -> None:
    judge(
        Inventory(
            where=where,
            kind="key",
            used=set(used) & set(values),
            missing=set(used) - set(values),
            without_effect={key: "it concerns training only" for key in harmless if key in values},
            left_over=dict.fromkeys(set(values) - {*used, *harmless}, ""),
        )
    )
