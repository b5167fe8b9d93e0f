"""Merges a PEFT adapter into its base model, so that the backbone is a stock model again."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter.config import ADAPTER_TENSORS, read_lora_config
from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.safety import check_no_code
from qstar_infer.checkpoint.tensors import check_finite, read_tensors
from qstar_infer.errors import CheckpointError


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
