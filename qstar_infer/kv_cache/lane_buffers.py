"""Keeps the hidden state and the base logits at each lane's anchor until the lane ends."""

from collections.abc import Sequence

import torch
from torch import Tensor


class LaneBuffers:
    """One row for each lane that may be in flight at the same time, allocated once.

    The logits are kept and not computed again, so that with a mixing weight of 0 the mixed
    distribution is exactly the one that the draft was sampled from (decision 0002).
    """

    def __init__(
        self,
        num_lanes: int,
        *,
        hidden_size: int,
        vocab_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._hidden = torch.empty(num_lanes, hidden_size, dtype=dtype, device=device)
        self._logits = torch.empty(num_lanes, vocab_size, dtype=dtype, device=device)

    def store(self, slots: Sequence[int], hidden: Tensor, logits: Tensor) -> None:
        """Store `[lanes, hidden]` states and `[lanes, vocab]` logits in these slots."""
        if slots:
            self._hidden[list(slots)] = hidden
            self._logits[list(slots)] = logits.to(self._logits.dtype)

    def load(self, slots: Sequence[int]) -> tuple[Tensor, Tensor]:
        """States `[lanes, hidden]` in the model's dtype, and logits `[lanes, vocab]` in float32."""
        return self._hidden[list(slots)], self._logits[list(slots)].float()
