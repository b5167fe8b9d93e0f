"""What a lane needs again at its end: the state and the base logits at its anchor."""

from collections.abc import Sequence

import torch
from torch import Tensor


class LaneBuffers:
    """One row for each lane that may be in flight at once, allocated once.

    The logits are kept rather than computed again, so that a mixing weight of 0 gives back exactly
    the distribution that the draft was picked from (decision 0002).
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
        """Keep rows of `[lanes, hidden]` and `[lanes, vocab]` in these slots."""
        if slots:
            self._hidden[list(slots)] = hidden
            self._logits[list(slots)] = logits.to(self._logits.dtype)

    def load(self, slots: Sequence[int]) -> tuple[Tensor, Tensor]:
        """`[lanes, hidden]` in the model's dtype and `[lanes, vocab]` in float32."""
        return self._hidden[list(slots)], self._logits[list(slots)].float()
