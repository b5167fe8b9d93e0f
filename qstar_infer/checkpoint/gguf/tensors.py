"""Matches a GGUF file's tensors with the parameters of the model, by name and shape."""

from collections.abc import Callable
from typing import cast

import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from qstar_infer.checkpoint.gguf.architectures import (
    EMBEDDING,
    OUTPUT,
    Architecture,
    num_vector_rows,
)
from qstar_infer.checkpoint.gguf.data import READABLE_TYPES
from qstar_infer.checkpoint.gguf.header import GgufHeader, GgufTensor
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.reading import third_party


def model_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The causal language model of a config."""
    return cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])


def match_tensors(
    header: GgufHeader, architecture: Architecture, config: PreTrainedConfig
) -> dict[str, str]:
    """Parameter name -> tensor name, for each parameter of the model.

    Raises:
        CheckpointError: a tensor is missing, has another shape or an unreadable type, or is left
            over.
    """
    inventory = Inventory(where=str(header.path), kind="tensor")
    shapes = _parameter_shapes(config)
    names = names_in_file(header.architecture, config.num_hidden_layers)
    matched = {parameter: names(parameter) for parameter in shapes}
    for parameter, name in matched.items():
        if name not in header.tensors:
            inventory.missing.add(name)
        elif problem := _misfit(
            header.tensors[name], _stored_shape(header, name, shapes[parameter])
        ):
            inventory.unfit[name] = problem
        else:
            inventory.used.add(name)
    wanted = set(matched.values()) | architecture.factor_tensors
    inventory.left_over = {name: "" for name in header.tensors if name not in wanted}
    judge(inventory)
    return matched


def _stored_shape(header: GgufHeader, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a parameter in the file, where embeddings may have rows for thought vectors."""
    if name not in (EMBEDDING, OUTPUT):
        return shape
    return (shape[0] + num_vector_rows(header), *shape[1:])


def _misfit(tensor: GgufTensor, shape: tuple[int, ...]) -> str:
    """Why a tensor cannot be this parameter; "" if it can."""
    if tensor.shape != shape:
        return f"has shape {list(tensor.shape)}, but the keys of the file ask for {list(shape)}"
    if tensor.type not in READABLE_TYPES:
        return f"has the quantisation type {tensor.type.name}, which cannot be read"
    return ""


def _parameter_shapes(config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's parameters, without those that are tied to another."""
    with (
        third_party("The model that the keys describe", "Use the original safetensors checkpoint."),
        torch.device("meta"),
    ):
        model = model_class(config)._from_config(config)  # type: ignore[no-untyped-call]
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def names_in_file(architecture: str, num_layers: int) -> Callable[[str], str]:
    """Parameter -> tensor, by the table of llama.cpp's converter."""
    number = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    table = get_tensor_name_map(MODEL_ARCH(number), num_layers)

    def name(parameter: str) -> str:
        found = table.get_name(parameter, try_suffixes=(".weight", ".bias"))
        return parameter if found is None else str(found)

    return name
