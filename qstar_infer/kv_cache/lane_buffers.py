"""Keeps the hidden state and the base logits at each lane's anchor until the lane ends."""

from collections.abc import Sequence

import torch
from torch import Tensor


class LaneBuffers:
    """One row for each lane that may be in flight at the same time, allocated once.

    The logits are kept and not computed again, so that with a mixing weight of 0 the mixed
    distribution is exactly the one that the draft was sampled from (decision 0002).

    Attributes:
        hidden: `[lanes, hidden]`, states.
        logits: `[lanes, vocab]`.
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
        self.hidden = torch.empty(num_lanes, hidden_size, dtype=dtype, device=device)
        self.logits = torch.empty(num_lanes, vocab_size, dtype=dtype, device=device)

    def store(
        self, slots: Sequence[int], rows: Sequence[int], *, hidden: Tensor, logits: Tensor
    ) -> None:
        """Store some rows of `[any, hidden]` states and `[any, vocab]` logits in these slots."""
        # One by one: together, they would be copied to new memory first.
        for slot, row in zip(slots, rows, strict=True):
            self.hidden[slot] = hidden[row]
            self.logits[slot] = logits[row]
