"""Merges a PEFT adapter into its base model, so that the backbone is a stock model again."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from transformers import PreTrainedModel

from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.reading import read_json, third_party
from qstar_infer.checkpoint.safety import check_no_code
from qstar_infer.checkpoint.tensors import check_finite, read_tensors
from qstar_infer.errors import CheckpointError

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_TENSORS = "adapter_model.safetensors"


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
    source = str(relative) if not Path(base).is_absolute() and os.path.exists(relative) else base
    is_local = os.path.exists(os.path.expanduser(source))
    return source, revision if isinstance(revision, str) and not is_local else None


def merge_adapter(backbone: PreTrainedModel, directory: Path) -> PreTrainedModel:
    """Add a LoRA adapter's weights to those of the backbone.

    Raises:
        CheckpointError: not LoRA, no safetensors, or tensors that do not match the backbone.
    """
    check_no_code(directory)
    config = read_lora_config(directory)
    tensors = read_tensors(directory / ADAPTER_TENSORS)
    check_finite(tensors, directory / ADAPTER_TENSORS)
    advice = "Check that the adapter was made for this base model."
    with third_party(f"The adapter in {directory}", advice), _without_peft_warning():
        wrapped = PeftModel(backbone, config)
        report = set_peft_model_state_dict(wrapped, tensors)
    _check_all_used(report, config, directory)
    with third_party(f"The adapter in {directory}", advice), _without_peft_warning():
        merged: PreTrainedModel = wrapped.merge_and_unload(safe_merge=True)
    return finish(merged)


@contextmanager
def _without_peft_warning() -> Iterator[None]:
    """peft reads an attribute that transformers has renamed. Users can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        yield


def read_lora_config(directory: Path) -> LoraConfig:
    """The configuration of a LoRA adapter.

    Raises:
        CheckpointError: not a LoRA adapter, no safetensors, or an invalid value.
    """
    values = read_json(directory / ADAPTER_CONFIG)
    if values.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{directory / ADAPTER_CONFIG} has peft_type {values.get('peft_type')!r}; only LORA "
            "can be merged here. Merge it where it was trained and save the whole model."
        )
    if not (directory / ADAPTER_TENSORS).exists():
        raise CheckpointError(
            f"{directory} has no {ADAPTER_TENSORS}. Only safetensors are read: save the adapter "
            "again with a current peft, which writes that file."
        )
    with third_party(str(directory / ADAPTER_CONFIG), "Correct the value the message names."):
        config: LoraConfig = LoraConfig.from_pretrained(str(directory))
    config.inference_mode = True
    return config


def _check_all_used(report: Any, config: LoraConfig, directory: Path) -> None:
    """Raise unless every tensor of the adapter belongs to the base model."""
    missing = [name for name in report.missing_keys if "lora_" in name]
    wrong = sorted([*report.unexpected_keys, *missing])
    if wrong:
        raise CheckpointError(
            f"The adapter in {directory} does not fit its base model "
            f"{config.base_model_name_or_path}: {len(wrong)} tensors have no counterpart, the "
            f"first being {wrong[0]}. Use the base model that it was trained on."
        )
