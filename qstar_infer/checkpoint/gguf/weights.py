"""Matches a GGUF file's tensors with the parameters of the model, and reads them."""

from collections.abc import Mapping

import numpy as np
import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from qstar_infer.checkpoint.gguf.architectures import Architecture
from qstar_infer.checkpoint.gguf.data import READABLE_TYPES, raw_bytes, read_values
from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.checkpoint.gguf.rope import FACTOR_TENSORS
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.errors import CheckpointError

_BLANK_RUN = 2**16
"""As many zero bytes in a row are a hole in a download, not weights."""
_EMBEDDINGS = ("token_embd.weight", "output.weight")
"""May have rows of zeros, for ids that no text uses."""


def model_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The causal language model of a config."""
    found: type[PreTrainedModel] = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return found


def match_tensors(header: GgufHeader, config: PreTrainedConfig) -> dict[str, str]:
    """Parameter name -> tensor name, for each parameter of the model.

    Raises:
        CheckpointError: a tensor is missing, has another shape or an unreadable type, or is left
            over.
    """
    inventory = Inventory(where=str(header.path), kind="tensor")
    names = _tensor_names(header.architecture, config.num_hidden_layers)
    matched: dict[str, str] = {}
    for parameter, shape in _parameter_shapes(config).items():
        name = names(parameter)
        tensor = header.tensors.get(name)
        if tensor is None:
            inventory.missing.add(name)
        elif tensor.shape != shape:
            inventory.unfit[name] = (
                f"has shape {list(tensor.shape)}, but the file's keys ask for {list(shape)}"
            )
        elif tensor.type not in READABLE_TYPES:
            inventory.unfit[name] = (
                f"has the quantisation type {tensor.type.name}, which cannot be read"
            )
        else:
            inventory.used.add(name)
        matched[parameter] = name
    wanted = set(matched.values()) | FACTOR_TENSORS
    inventory.left_over = {name: "" for name in header.tensors if name not in wanted}
    judge(inventory)
    return matched


def read_weights(
    header: GgufHeader,
    architecture: Architecture,
    matched: Mapping[str, str],
    *,
    config: PreTrainedConfig,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """The model's weights, dequantised in float32 and then rounded to `dtype`, on the CPU.

    Raises:
        CheckpointError: a weight matrix has a hole: its bytes are zeros.
    """
    settings = config.to_dict()
    weights: dict[str, Tensor] = {}
    for parameter, name in matched.items():
        _check_not_blank(header, name)
        values = read_values(header.path, header.tensors[name])
        restored = architecture.restore(name, values, settings)
        weights[parameter] = torch.from_numpy(np.ascontiguousarray(restored)).to(dtype)
    return weights


def _parameter_shapes(config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's parameters, without those that are tied to another."""
    with torch.device("meta"):
        model = model_class(config)._from_config(config)
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


class _tensor_names:
    """Translates transformers' parameter names by the table of llama.cpp's converter."""

    def __init__(self, architecture: str, num_layers: int) -> None:
        by_name = {name: number for number, name in MODEL_ARCH_NAMES.items()}
        self._table = get_tensor_name_map(MODEL_ARCH(by_name[architecture]), num_layers)

    def __call__(self, parameter: str) -> str:
        name = self._table.get_name(parameter, try_suffixes=(".weight", ".bias"))
        assert name is not None, f"the converter knows no {parameter}"
        return str(name)


def _check_not_blank(header: GgufHeader, name: str) -> None:
    tensor = header.tensors[name]
    if len(tensor.shape) < 2:
        return  # a fresh bias is zero
    content = raw_bytes(header.path, tensor)
    run = len(content) if name in _EMBEDDINGS else min(_BLANK_RUN, len(content))
    whole = len(content) // run * run
    if not bool(content[:whole].reshape(-1, run).any(axis=1).all()):
        raise CheckpointError(
            f"{name} in {header.path} has a run of {run} zero bytes, so its download is not "
            "complete. Fetch the file again."
        )
