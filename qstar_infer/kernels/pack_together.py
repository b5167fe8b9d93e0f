"""Packs several linear layers with the same input as one."""

from collections.abc import Sequence

import torch
from torch import nn

from qstar_infer.kernels.linear_kernel import LinearKernel, PackedLinear
from qstar_infer.kernels.quantised_linear import QuantisedLinear, join_rounded


def pack_together(layers: Sequence[nn.Module], kernel: LinearKernel) -> PackedLinear:
    """Pack layers so that one product computes the outputs of all, one after the other.

    Layers that are rounded already keep their own product; only the dtype is the kernel's.

    Args:
        layers: with the same input width; all with a bias, or none.

    Raises:
        TypeError: a layer is of a kind that the kernels cannot read.
    """
    rounded = [layer for layer in layers if isinstance(layer, QuantisedLinear)]
    if len(rounded) == len(layers):
        return join_rounded(rounded, kernel.dtype)
    if rounded:  # some have a shape that cannot be rounded
        products = [pack_together([layer], kernel) for layer in layers]
        return lambda states: torch.cat([multiply(states) for multiply in products], dim=1)
    linears = [layer for layer in layers if type(layer) is nn.Linear]
    if len(linears) < len(layers):
        kinds = ", ".join(sorted({type(layer).__name__ for layer in layers}))
        raise TypeError(f"layers of these kinds cannot be packed together: {kinds}")
    weights = [layer.weight.detach() for layer in linears]
    biases = [layer.bias.detach() for layer in linears if layer.bias is not None]
    return kernel.pack(
        weights[0] if len(weights) == 1 else torch.cat(weights),
        None if not biases else torch.cat(biases),
    )
