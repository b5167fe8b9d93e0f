"""LoRA adapters: add them to a backbone, load or save their weights."""

import re
from pathlib import Path

import peft
import torch
from peft import get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import Embedding, LoraLayer
from torch import Tensor
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter.attach import fill_adapter, read_adapter_tensors
from qstar_infer.checkpoint.adapter.config import KEEPS_BASE, PEFT_PREFIX, read_lora_config
from qstar_infer.checkpoint.adapter.quiet import quiet_peft
from qstar_infer.errors import ConfigError
from qstar_train.config import LoraConfig
from qstar_train.config_file import differences

_PLAIN: dict[str, object] = {
    "use_rslora": False,
    "use_dora": False,
    "lora_bias": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""The config of plain LoRA, which is all that is trained here."""


def peft_config(lora: LoraConfig) -> peft.LoraConfig:
    """The same config as a class of PEFT."""
    return peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=lora.target_modules,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def add_adapters(backbone: PreTrainedModel, lora: LoraConfig, *, seed: int) -> None:
    """Put fresh LoRA layers into the backbone, in float32.

    Raises:
        ConfigError: the backbone has no such layers, or they are embeddings.
    """
    with torch.random.fork_rng(devices=[]), quiet_peft():
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(peft_config(lora), backbone)
        except (ValueError, re.error) as error:
            raise ConfigError(f"lora.target_modules = {lora.target_modules!r}: {error}") from error
    for name, layer in backbone.named_modules():
        if isinstance(layer, Embedding):
            raise ConfigError(
                f"lora.target_modules = {lora.target_modules!r}: {name} is an embedding; "
                "thoughts read embeddings without adapters. Name linear layers."
            )
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def read_adapters(backbone: PreTrainedModel, lora: LoraConfig, directory: Path) -> None:
    """Load the weights of an adapter into the backbone's LoRA layers.

    Raises:
        CheckpointError: it is not LoRA, or damaged.
        ConfigError: it was trained with other settings, or is not plain LoRA.
    """
    config = read_lora_config(directory)
    for name, plain in _PLAIN.items():
        if getattr(config, name, plain) != plain:
            raise ConfigError(
                f"model = {directory} is an adapter with {name} = {getattr(config, name)!r}, which "
                "cannot be trained further. Merge it first with `qstar convert`."
            )
    if config.init_lora_weights not in KEEPS_BASE:
        raise ConfigError(
            f"model = {directory} is an adapter with init_lora_weights = "
            f"{config.init_lora_weights!r}, which changes its base model, so it cannot be trained "
            "further. Merge it first with `qstar convert`."
        )
    tensors = read_adapter_tensors(directory)
    made_with = {"rank": config.r, "alpha": config.lora_alpha}
    differing = list(differences(made_with, {"rank": lora.rank, "alpha": lora.alpha}, "lora"))
    differing += [
        f"lora.target_modules: only one of the two has {name}"
        for name in sorted(tensors.keys() ^ adapter_tensors(backbone).keys())
    ]
    if differing:
        raise ConfigError(
            f"model = {directory} is an adapter, which would be trained further, but "
            f"{differing[0]}. Change lora to match it, or merge it first with `qstar convert`."
        )
    plain_names = {name.removeprefix(PEFT_PREFIX): value for name, value in tensors.items()}
    fill_adapter(backbone, plain_names, directory)


def adapter_tensors(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """The LoRA layers' weights under PEFT's names, in float32, as they are trained."""
    tensors = get_peft_model_state_dict(backbone, save_embedding_layers=False)
    return {PEFT_PREFIX + name: tensor.float().contiguous() for name, tensor in tensors.items()}


def target_modules_of(backbone: PreTrainedModel) -> list[str]:
    """Names of the layers that have an adapter, sorted, for `adapter_config.json`.

    Short names, or full names where a layer without an adapter has the same short name.
    """
    layers = dict(backbone.named_modules())
    adapted = {name for name, layer in layers.items() if isinstance(layer, LoraLayer)}
    others = {_last(name) for name in layers.keys() - adapted}
    return sorted({name if _last(name) in others else _last(name) for name in adapted})


def _last(name: str) -> str:
    return name.rpartition(".")[2]
