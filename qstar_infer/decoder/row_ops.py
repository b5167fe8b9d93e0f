"""What a layer does to its rows between its linear layers: norms, rotary positions, the gate.

All of it is computed in float32, and rounded once when it is handed on.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """An RMS norm over the last dimension."""

    weight: Tensor
    """`[width]`; of heads `[heads, head_dim]`. float32, contiguous."""
    eps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Rotary positions of the rows of a pass."""

    cos: Tensor
    """`[rows, head_dim]`, float32, contiguous."""
    sin: Tensor
    """Likewise."""


class RowOps(Protocol):
    """Computes each row by itself: no result depends on the other rows."""

    def add_norm_(self, states: Tensor, update: Tensor | None, norm: Norm) -> Tensor:
        """Add an update to the states, in place, and return their norm.

        Args:
            states: `[rows, width]`, float32, contiguous.
            update: `[rows, width]` in the decoder's dtype.

        Returns:
            `[rows, width]` in the decoder's dtype.
        """
        ...

    def norm_rotate_(
        self, heads: Tensor, num_rotated: int, norm: Norm | None, rotation: Rotation | None
    ) -> None:
        """Apply norm and rotary positions to the first heads of each row, in place.

        Args:
            heads: `[rows, heads, head_dim]` in the decoder's dtype, contiguous.
            num_rotated: number of heads to change.
            norm: for each of them.
        """
        ...

    def silu_gate(self, gate_up: Tensor) -> Tensor:
        """`silu(gate) * up`: `[rows, 2 * width]`, the gate first, to `[rows, width]`."""
        ...


class TorchRowOps:
    """`RowOps` with torch's operations, for every dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def add_norm_(self, states: Tensor, update: Tensor | None, norm: Norm) -> Tensor:
        """See `RowOps.add_norm_`."""
        if update is not None:
            states += update
        return _rms_norm(states, norm).to(self._dtype)

    def norm_rotate_(
        self, heads: Tensor, num_rotated: int, norm: Norm | None, rotation: Rotation | None
    ) -> None:
        """See `RowOps.norm_rotate_`."""
        target = heads[:, :num_rotated]
        values = target.float()
        if norm is not None:
            values = _rms_norm(values, norm)
        if rotation is not None:
            first, second = values.chunk(2, dim=-1)
            turned = torch.cat([-second, first], dim=-1)
            values = values * rotation.cos.unsqueeze(1) + turned * rotation.sin.unsqueeze(1)
        target.copy_(values)

    def silu_gate(self, gate_up: Tensor) -> Tensor:
        """See `RowOps.silu_gate`."""
        gate, up = gate_up.float().chunk(2, dim=-1)
        return (F.silu(gate) * up).to(self._dtype)


def _rms_norm(states: Tensor, norm: Norm) -> Tensor:
    mean_square = states.square().mean(dim=-1, keepdim=True)
    return states * (mean_square + norm.eps).rsqrt() * norm.weight
