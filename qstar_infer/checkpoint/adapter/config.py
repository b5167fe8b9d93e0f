"""Reads the configuration of a PEFT adapter, and refuses what would not be honoured.

PEFT takes seconds to import, so only the functions that read an adapter do it.
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qstar_infer.checkpoint.adapter.quiet import quiet_peft
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.reading import read_json, third_party
from qstar_infer.errors import CheckpointError
from qstar_infer.model.source_name import source_text

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_TENSORS = "adapter_model.safetensors"
ADAPTER_NAME = "default"
"""What peft calls an adapter when it is the only one; part of its modules' names."""
PEFT_PREFIX = "base_model.model."
"""PEFT's prefix of tensor names."""

_HONOURED = frozenset(
    {
        "alpha_pattern",
        "base_model_name_or_path",
        "bias",
        "ensure_weight_tying",
        "exclude_modules",
        "fan_in_fan_out",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_bias",
        "modules_to_save",
        "peft_type",
        "r",
        "rank_pattern",
        "revision",
        "target_modules",
        "target_parameters",
        "task_type",
        "trainable_token_indices",
        "use_dora",
        "use_rslora",
    }
)
_ONLY_AT_THE_START = "it only chooses the values that training starts from"
_WITHOUT_EFFECT = {
    "auto_mapping": "it names the class of the base model, which the base model's config does too",
    "corda_config": _ONLY_AT_THE_START,
    "eva_config": _ONLY_AT_THE_START,
    "inference_mode": "it only freezes weights",
    "loftq_config": "it is read with init_lora_weights 'loftq' alone, which is checked",
    "lora_dropout": "dropout is off after training",
    "lora_ga_config": _ONLY_AT_THE_START,
    "megatron_core": "it has a meaning only with megatron_config",
    "peft_version": "it says who wrote the file",
    "qalora_group_size": "it has a meaning only with use_qalora",
}
_NOT_MERGED = (
    "Only adapters that can be merged exactly are loaded. If peft can merge this one, merge it "
    "where it was trained and save the whole model."
)
KEEPS_BASE = (True, False, None, "gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Values of `init_lora_weights` that leave the base model's weights as they are."""
_CHANGES_BASE = ("pissa", "olora")
"""Those that change them, to values that peft computes again from the base model."""


def base_of_adapter(directory: Path) -> tuple[str, str | None]:
    """Source and revision of an adapter's base model. A local base has no revision.

    A relative path is first looked up in the adapter's directory, so that both can move together.

    Raises:
        CheckpointError: the adapter names no base.
    """
    path = directory / ADAPTER_CONFIG
    values = read_json(path)
    base = values.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"{path} has base_model_name_or_path = {base!r}; it must name the base model, as a "
            "path or a hub id. Add it."
        )
    revision = values.get("revision")
    relative = directory / base
    # os.path, because pathlib raises for a name that is too long for a path.
    is_beside = not Path(base).is_absolute() and os.path.exists(relative)
    source = source_text(relative) if is_beside else base
    is_local = os.path.exists(os.path.expanduser(source))
    return source, revision if isinstance(revision, str) and not is_local else None


def check_adapter_is_one(directory: Path) -> None:
    """Check that a directory without an adapter of its own holds none in folders.

    peft writes adapters of other names than "default" to a folder each.

    Raises:
        CheckpointError: it holds some; they are named.
    """
    names = sorted(path.parent.name for path in directory.glob(f"*/{ADAPTER_CONFIG}"))
    if names:
        raise CheckpointError(
            f"{directory} holds no adapter itself, but some in its folders {', '.join(names[:6])}. "
            f"One is loaded at a time: give its path, as {directory / names[0]}."
        )


def read_lora_config(directory: Path) -> "LoraConfig":
    """The configuration of a LoRA adapter, for inference.

    Raises:
        CheckpointError: not a LoRA adapter, no safetensors, a key that would not be honoured, or
            an invalid value.
    """
    from peft import LoraConfig

    path = directory / ADAPTER_CONFIG
    values = read_json(path)
    if values.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{path} has peft_type {values.get('peft_type')!r}; only LORA "
            "can be merged here. Merge it where it was trained and save the whole model."
        )
    if not (directory / ADAPTER_TENSORS).exists():
        raise CheckpointError(
            f"{directory} has no {ADAPTER_TENSORS}. Only safetensors are read: save the adapter "
            "again with a current peft, which writes that file."
        )
    judge(_inventory(values, path))
    _check_values(values, path)
    with third_party(str(path), "Correct the value the message names."), quiet_peft():
        config: LoraConfig = LoraConfig.from_pretrained(str(directory))
    config.inference_mode = True
    return config


def _inventory(values: dict[str, Any], path: Path) -> Inventory:
    """What becomes of each key. One that is unset changes nothing, whatever it means.

    An empty value unsets a key that peft does not know; for one that it knows, it may ask for the
    defaults of a mode.
    """
    from peft import LoraConfig

    inventory = Inventory(where=str(path), kind="key")
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    for key, value in values.items():
        if key in _HONOURED:
            inventory.used.add(key)
        elif key in _WITHOUT_EFFECT:
            inventory.without_effect[key] = _WITHOUT_EFFECT[key]
        elif value is None or value is False or (key not in known and value in ("", [], {})):
            inventory.without_effect[key] = "it is not set"
        else:
            inventory.left_over[key] = _NOT_MERGED
    return inventory


def _check_values(values: dict[str, Any], path: Path) -> None:
    task = values.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise CheckpointError(
            f"{path} has task_type {task!r}: the adapter is not one of a causal language model. "
            "Only CAUSAL_LM adapters are loaded."
        )
    start = values.get("init_lora_weights")
    if start not in (*KEEPS_BASE, *_CHANGES_BASE):
        raise CheckpointError(
            f"{path} has init_lora_weights = {start!r}, with which training starts from a changed "
            "base model that cannot be computed again exactly. Save the adapter with peft's "
            "path_initial_model_for_weight_conversion, which makes a plain LoRA of it."
        )
