"""Attention of the oracle: a thought at every position of a batch at once.

Legend: batch, heads, kv_heads, seq, head_dim; `depth` counts the thought tokens fed so far.
"""

import torch
from torch import Tensor


class ParallelThoughts:
    """Base tokens see their prefix; a thought sees its anchor's prefix and itself.

    The first pass must feed the base tokens; every later pass feeds one thought token at each
    position. Keys and values of the base are computed once and kept. Differentiable.
    """

    def __init__(self, attention_mask: Tensor) -> None:
        """
        Args:
            attention_mask: `[batch, seq]`, bool. False where a base token is padding.
        """
        self._is_real = attention_mask
        self._base: dict[int, tuple[Tensor, Tensor]] = {}
        self._own: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """See `AttentionState.attend`; here rows are the positions of the sequence."""
        groups = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
        if layer not in self._base:
            self._base[layer] = (key, value)
            self._own[layer] = []
        else:
            self._own[layer].append((key, value))
        base_key, base_value = self._base[layer]

        base_scores = query @ base_key.transpose(-1, -2) * scale  # [batch, heads, seq, seq]
        scores = base_scores.masked_fill(~self._sees_base(window), float("-inf"))
        own = self._own[layer]
        if own:
            own_keys = torch.stack([k for k, _ in own], dim=3)  # [batch, heads, seq, depth, dim]
            own_scores = (query.unsqueeze(3) * own_keys).sum(-1) * scale
            scores = torch.cat([scores, own_scores], dim=-1)
        shares = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)

        seq = base_key.shape[2]
        output = shares[..., :seq] @ base_value
        if own:
            own_values = torch.stack([v for _, v in own], dim=3)
            output = output + (shares[..., seq:].unsqueeze(-1) * own_values).sum(3)
        return output.transpose(1, 2)

    def _sees_base(self, window: int | None) -> Tensor:
        """`[batch, 1, seq, seq]`, bool: does the thought (or token) at row i see base key j?"""
        position = torch.arange(self._is_real.shape[1], device=self._is_real.device)
        distance = position[:, None] - position[None, :]
        sees = distance >= 0
        if window is not None:
            sees = sees & (distance < window)
        # A padded row keeps itself, so that its (ignored) softmax is never over nothing.
        itself = distance == 0
        return ((sees & self._is_real[:, None, :]) | itself)[:, None]
