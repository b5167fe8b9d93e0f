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

from qstar_infer.checkpoint.adapter import ADAPTER_TENSORS, read_lora_config
from qstar_infer.checkpoint.tensors import read_tensors
from qstar_infer.errors import ConfigError
from qstar_train.settings import differences
from qstar_train.trainer.config import LoraSettings

PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the names of a wrapped model's tensors."""
_PLAIN: dict[str, object] = {
    "use_rslora": False,
    "use_dora": False,
    "lora_bias": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""What an adapter that computes as ours do has in its config."""


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
    """Give the backbone's LoRA layers the weights of an adapter.

    Raises:
        CheckpointError: it is not LoRA, or damaged.
        ConfigError: it was made with other settings, or computes what plain LoRA does not.
    """
    config = read_lora_config(directory)
    for name, plain in _PLAIN.items():
        if getattr(config, name, plain) != plain:
            raise ConfigError(
                f"model = {directory} is an adapter with {name} = {getattr(config, name)!r}, which "
                "cannot be trained further. Merge it first with `qstar convert`."
            )
    tensors = read_tensors(directory / ADAPTER_TENSORS)
    made_with = {"rank": config.r, "alpha": config.lora_alpha}
    differing = list(differences(made_with, {"rank": lora.rank, "alpha": lora.alpha}, "lora"))
    differing += [
        f"lora.target_modules: only one of the two has {name}"
        for name in sorted(tensors.keys() ^ adapter_tensors(backbone).keys())
    ]
    if differing:
        raise ConfigError(
            f"model = {directory} is an adapter, and training goes on with the same one, but "
            f"{differing[0]}. Change lora to what it has, or merge it first with `qstar convert`."
        )
    set_peft_model_state_dict(
        backbone, {name.removeprefix(PEFT_PREFIX): value for name, value in tensors.items()}
    )


def adapter_tensors(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """The LoRA layers' weights under PEFT's names, in bfloat16."""
    return {
        PEFT_PREFIX + name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in get_peft_model_state_dict(backbone).items()
    }


def target_modules_of(backbone: PreTrainedModel) -> list[str]:
    """The layers that have an adapter, for `adapter_config.json`, sorted.

    By their last names; in full where other layers share that name and have none.
    """
    layers = dict(backbone.named_modules())
    adapted = {name for name, layer in layers.items() if isinstance(layer, LoraLayer)}
    others = {_last(name) for name in layers.keys() - adapted}
    return sorted({name if _last(name) in others else _last(name) for name in adapted})


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def merge_lora(backbone: PreTrainedModel) -> None:
    """Add each adapter to the weights under it, in float32, and make the layers stock again."""
    backbone.to(torch.float32)  # type: ignore[arg-type]  # wrapped method
    for name, layer in list(backbone.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, layer.get_base_layer())
    del backbone.peft_config
