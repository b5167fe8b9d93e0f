"""Lets the linear layers of a model multiply by packed copies of their weights."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qstar_infer.kernels.linear_kernel import LinearKernel, PackedLinear
from qstar_infer.kernels.plain import PlainKernel


def pack_layers(
    model: nn.Module, kernel: LinearKernel, *, kinds: Sequence[type[nn.Linear]] = (nn.Linear,)
) -> int:
    """Make the linear layers of a model use a kernel in inference mode.

    States of another dtype are cast to the kernel's and back. The original weights stay, for
    gradients, for saving and for other readers; once a weight is changed, its layer is plain again.

    Args:
        kinds: classes of the layers to pack. Subclasses are not packed: they may compute otherwise.

    Returns:
        Number of packed layers; none for the plain kernel.
    """
    if isinstance(kernel, PlainKernel):
        return 0
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and type(module) in kinds
    ]
    for layer in layers:
        bias = None if layer.bias is None else layer.bias.detach()
        multiply = kernel.pack(layer.weight.detach(), bias)
        packed = functools.partial(multiply_states, multiply, kernel.dtype)
        version = layer.weight._version
        layer.forward = functools.partial(  # type: ignore[method-assign]
            _forward, layer, packed, version
        )
    return len(layers)


def multiply_states(multiply: PackedLinear, dtype: torch.dtype, states: Tensor) -> Tensor:
    """Call a packed layer that computes in `dtype`: `[..., in]` to `[..., out]` of any dtype."""
    rows = states.reshape(-1, states.shape[-1]).to(dtype)
    product = multiply(rows).to(states.dtype)
    return product.view(*states.shape[:-1], product.shape[-1])  # -1 fails for no rows


def _forward(layer: nn.Linear, packed: PackedLinear, version: int, states: Tensor) -> Tensor:
    """Use the packed copy in inference mode, unless the weight has changed since it was packed."""
    if torch.is_inference_mode_enabled() and layer.weight._version == version:
        return packed(states)
    return nn.Linear.forward(layer, states)
