"""Packs several linear layers with the same input as one."""

from collections.abc import Sequence

import torch
from torch import nn

from qstar_infer.kernels.linear_kernel import LinearKernel, PackedLinear


def pack_together(layers: Sequence[nn.Module], kernel: LinearKernel) -> PackedLinear:
    """Pack layers so that one product computes the outputs of all, one after the other.

    Args:
        layers: with the same input width; all with a bias, or none.

    Raises:
        TypeError: a layer is of a kind that the kernels cannot read.
    """
    for layer in layers:
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"a {type(layer).__name__} cannot be packed")
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach() for layer in linears]
    biases = [layer.bias.detach() for layer in linears if layer.bias is not None]
    return kernel.pack(
        weights[0] if len(weights) == 1 else torch.cat(weights),
        None if not biases else torch.cat(biases),
    )
