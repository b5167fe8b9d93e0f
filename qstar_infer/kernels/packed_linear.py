"""Packs the weights of bfloat16 linear layers on a CPU once, in the layout of oneDNN's kernel.

torch packs a bfloat16 weight again in every call, which takes a third of a decoding step. oneDNN
can keep the packed copy. It is used only if its results are the same, bit for bit.
"""

import functools
import logging

import psutil
import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)

_MEMORY_SHARE = 0.25
"""Largest share of free memory for the copies; a larger model keeps its plain layers."""

_PROBE_ROWS = 8


def pack_linears(backbone: nn.Module) -> int:
    """Make linear layers use packed copies of their weights if these are exact and fit in memory.

    The original weights stay, for saving and for other readers.

    Returns:
        Number of packed layers; 0 if packing is not available or does not fit in memory.
    """
    layers = [
        module
        for module in backbone.modules()
        if type(module) is nn.Linear
        and module.weight.dtype == torch.bfloat16
        and module.weight.device.type == "cpu"
    ]
    num_bytes = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    is_affordable = num_bytes <= psutil.virtual_memory().available * _MEMORY_SHARE
    if not (layers and is_affordable and _has_kernel()):
        return 0
    num_packed = sum(_pack(layer) for layer in layers)
    _log.debug("packed %d of %d linear layers", num_packed, len(layers))
    return num_packed


def _has_kernel() -> bool:
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@torch.no_grad()
def _pack(layer: nn.Linear) -> bool:
    """Pack one layer if its results stay the same, bit for bit; returns whether it did."""
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _PROBE_ROWS)
    version = layer.weight._version
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, _PROBE_ROWS, layer.in_features, generator=generator).bfloat16()
    if not torch.equal(_packed_linear(probe, packed, layer.bias), nn.Linear.forward(layer, probe)):
        return False
    layer.forward = functools.partial(_forward, layer, packed, version)  # type: ignore[method-assign]
    return True


def _forward(layer: nn.Linear, packed: Tensor, version: int, states: Tensor) -> Tensor:
    """Use the packed copy in inference mode, unless the weight has changed since it was packed."""
    if torch.is_inference_mode_enabled() and layer.weight._version == version:
        return _packed_linear(states, packed, layer.bias)
    return nn.Linear.forward(layer, states)


def _packed_linear(states: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    output: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")
    return output
