"""torch's own linear layer, on any device: the last resort."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from qstar_infer.kernels.linear_kernel import PackedLinear


class PlainKernel:
    """A `LinearKernel` that uses the weight as it is, or cast if it has another dtype."""

    name = "plain"
    bytes_per_weight = 0

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def is_available(self) -> bool:
        """Always."""
        return True

    def padded_rows(self, num_rows: int) -> int:
        """See `LinearKernel.padded_rows`."""
        return num_rows

    def pack(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        """See `LinearKernel.pack`."""
        wanted = None if bias is None else bias.to(self.dtype)
        return functools.partial(F.linear, weight=weight.to(self.dtype), bias=wanted)
