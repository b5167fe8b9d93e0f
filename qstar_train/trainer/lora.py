"""LoRA adapters: put into a backbone, fresh or trained further, and merged at the end."""

import re
from pathlib import Path

import torch
from peft import (
    LoraConfig,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from peft.tuners.lora import Embedding, LoraLayer
from torch import Tensor
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter import ADAPTER_CONFIG, ADAPTER_TENSORS
from qstar_infer.checkpoint.reading import read_json
from qstar_infer.checkpoint.tensors import read_tensors
from qstar_infer.errors import ConfigError
from qstar_train.trainer.config import LoraSettings

PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the names of a wrapped model's tensors."""


def lora_config(lora: LoraSettings) -> LoraConfig:
    """The settings as PEFT writes them down."""
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=lora.target_modules,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def add_adapters(backbone: PreTrainedModel, lora: LoraSettings, *, seed: int) -> None:
    """Put fresh LoRA layers into the backbone, in float32.

    Raises:
        ConfigError: it has no such layers, or they are embeddings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(lora_config(lora), backbone)
        except (ValueError, re.error) as error:
            raise ConfigError(f"lora.target_modules = {lora.target_modules!r}: {error}") from error
    for name, layer in backbone.named_modules():
        if isinstance(layer, Embedding):
            raise ConfigError(
                f"lora.target_modules = {lora.target_modules!r}: {name} is an embedding, which "
                "thoughts are fed from as it is. Name linear layers."
            )
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def read_adapters(backbone: PreTrainedModel, lora: LoraSettings, directory: Path) -> None:
    """Give the backbone's LoRA layers the weights of an adapter that `qstar train` wrote.

    Raises:
        ConfigError: the adapter was made with other settings.
    """
    path = directory / ADAPTER_CONFIG
    was = read_json(path)
    wanted: dict[str, int | list[str]] = {
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": sorted(adapted_layers(backbone)),
    }
    for name, value in wanted.items():
        made_with = sorted(was[name]) if name == "target_modules" else was.get(name)
        if made_with != value:
            raise ConfigError(
                f"model = {directory} is an adapter with {name} = {made_with}, and training goes "
                f"on with the same one: lora gives {value}. Change lora to what it has, or merge "
                "it first with `qstar convert`."
            )
    tensors = read_tensors(directory / ADAPTER_TENSORS)
    set_peft_model_state_dict(
        backbone, {name.removeprefix(PEFT_PREFIX): value for name, value in tensors.items()}
    )


def adapter_tensors(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """The LoRA layers' weights under PEFT's names, in bfloat16."""
    return {
        PEFT_PREFIX + name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in get_peft_model_state_dict(backbone).items()
    }


def adapted_layers(backbone: PreTrainedModel) -> set[str]:
    """The last names of the layers that have an adapter."""
    return {
        name.rpartition(".")[2]
        for name, layer in backbone.named_modules()
        if isinstance(layer, LoraLayer)
    }


def merge_lora(backbone: PreTrainedModel) -> None:
    """Add each adapter to the weights under it, in float32, and make the layers stock again."""
    backbone.to(torch.float32)  # type: ignore[arg-type]  # wrapped method
    for name, layer in list(backbone.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, layer.get_base_layer())
    del backbone.peft_config
