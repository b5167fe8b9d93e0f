"""Linear layers of a bfloat16 backbone on a CPU, with their weights laid out for the kernel.

torch's linear lays a bfloat16 weight out anew at every call, which costs a third of a decoding
step. oneDNN can keep the laid-out copy. Used only where it gives the very same bits.
"""

import functools
import logging

import psutil
import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)

_MEMORY_SHARE = 0.25
"""Of free memory that the copies may take; beyond it a model keeps its plain layers."""

_PROBE_ROWS = 8


def pack_linears(backbone: nn.Module) -> int:
    """Make the linear layers use packed copies of their weights, where that is exact and fits.

    The weights themselves stay, for saving and for whoever reads them.

    Returns:
        How many layers were packed; 0 where there is nothing to gain.
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
    """Pack one layer, if its answers stay the same bit for bit."""
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _PROBE_ROWS)
    version = layer.weight._version
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, _PROBE_ROWS, layer.in_features, generator=generator).bfloat16()
    if not torch.equal(_packed_linear(probe, packed, layer.bias), nn.Linear.forward(layer, probe)):
        return False
    layer.forward = functools.partial(_forward, layer, packed, version)  # type: ignore[method-assign]
    return True


def _forward(layer: nn.Linear, packed: Tensor, version: int, states: Tensor) -> Tensor:
    """The engine takes the packed copy; training, and weights changed since, the plain path."""
    if torch.is_inference_mode_enabled() and layer.weight._version == version:
        return _packed_linear(states, packed, layer.bias)
    return nn.Linear.forward(layer, states)


def _packed_linear(states: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    output: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")
    return output
