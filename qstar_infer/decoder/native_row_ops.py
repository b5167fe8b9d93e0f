"""`RowOps` in C. torch starts up to ten operations for each, which costs more than few rows do."""

import ctypes

import torch
from torch import Tensor

from qstar_infer.decoder.row_ops import Norm, Rotation, RowOps, TorchRowOps
from qstar_infer.decoder.row_ops_library import load_row_ops_library

_KINDS = {torch.float32: 0, torch.bfloat16: 1}
"""As `row_ops.c` numbers them."""

_LARGEST_HEAD = 512
"""Of `norm_rotate`, as in `row_ops.c`."""


def build_row_ops(dtype: torch.dtype, *, head_dim: int) -> RowOps:
    """The fastest row operations for a decoder's dtype on this machine's CPU."""
    library = load_row_ops_library()
    if library is None or dtype not in _KINDS or head_dim > _LARGEST_HEAD:
        return TorchRowOps(dtype)
    return NativeRowOps(library, dtype)


class NativeRowOps:
    """`RowOps` by the library of `row_ops.c`, on the CPU. Tensors must be contiguous."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        self._add_norm = library.add_norm
        self._norm_rotate = library.norm_rotate
        self._silu_gate = library.silu_gate
        self._dtype = dtype
        self._kind = _KINDS[dtype]

    def add_norm_(self, states: Tensor, update: Tensor | None, norm: Norm) -> Tensor:
        """See `RowOps.add_norm_`."""
        rows, width = states.shape
        normed = torch.empty(rows, width, dtype=self._dtype)
        self._add_norm(
            states.data_ptr(),
            None if update is None else update.data_ptr(),
            norm.weight.data_ptr(),
            norm.eps,
            normed.data_ptr(),
            rows,
            width,
            self._kind,
        )
        return normed

    def norm_rotate_(
        self, heads: Tensor, num_rotated: int, norm: Norm | None, rotation: Rotation | None
    ) -> None:
        """See `RowOps.norm_rotate_`."""
        rows, num_heads, head_dim = heads.shape
        self._norm_rotate(
            heads.data_ptr(),
            None if rotation is None else rotation.cos.data_ptr(),
            None if rotation is None else rotation.sin.data_ptr(),
            None if norm is None else norm.weight.data_ptr(),
            0.0 if norm is None else norm.eps,
            rows,
            num_heads * head_dim,
            num_rotated,
            head_dim,
            self._kind,
        )

    def silu_gate(self, gate_up: Tensor) -> Tensor:
        """See `RowOps.silu_gate`."""
        rows, width = gate_up.shape[0], gate_up.shape[1] // 2
        gated = torch.empty(rows, width, dtype=self._dtype)
        self._silu_gate(gate_up.data_ptr(), gated.data_ptr(), rows, width, self._kind)
        return gated
