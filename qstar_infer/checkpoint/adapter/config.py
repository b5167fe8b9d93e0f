"""Reads the configuration of a PEFT adapter."""

import os
from pathlib import Path

from peft import LoraConfig

from qstar_infer.checkpoint.reading import read_json, third_party
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
