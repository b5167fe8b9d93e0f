"""The interface of a kernel: packs the weight of a linear layer once, then multiplies by it."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

PackedLinear = Callable[[Tensor], Tensor]
"""`[rows, in]` to `[rows, out]`, both in the kernel's dtype. Inference only, no gradients."""


class LinearKernel(Protocol):
    """One way to multiply rows by a weight.

    Attributes:
        name: for logs and reports.
        dtype: of the rows that go in and come out; that of the packed weight may differ.
        bytes_per_weight: memory of a packed copy; 0 if the weight is used as it is.
    """

    name: str
    dtype: torch.dtype
    bytes_per_weight: int

    def is_available(self) -> bool:
        """Whether this torch and this CPU have it."""
        ...

    def padded_rows(self, num_rows: int) -> int:
        """So many rows are multiplied where `num_rows` are given, so that no row's bits change.

        Products pad their rows themselves; who calls several may do it once before.
        """
        ...

    def pack(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        """Pack `[out, in]` and `[out]`. Copies the weight if it needs another layout."""
        ...


def pad_rows(states: Tensor, num_rows: int) -> Tensor:
    """Append rows of zeros to `[rows, width]` up to `num_rows`."""
    padding = num_rows - states.shape[0]
    return F.pad(states, (0, 0, 0, padding)) if padding else states
