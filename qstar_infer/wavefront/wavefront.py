"""The verified text of one sequence, its drafts, and the lanes that verify them.

    index      0 .. num_verified .. num_verified + len(drafts)
               verified text      drafts
    the tokens [0, num_computed) have keys and values in the pool

Only verified tokens leave the engine. `lanes[i]` thinks at anchor `num_verified - 1 + i` and
verifies `drafts[i]`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from qstar_infer.step import SampledToken
from qstar_infer.wavefront.lane import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of verifying one token."""

    lane: Lane
    """The lane that decided the token; its blocks and slot have been released."""
    decision: SampledToken
    is_draft_kept: bool
    """True if the draft equalled the decision. False: later drafts and lanes were dropped."""
    dropped: list[Lane]
    """Lanes that depended on a wrong draft; the caller releases their blocks and slots."""


class Wavefront:
    """Drafts tokens ahead of the verified text, and verifies or drops them."""

    def __init__(self, prompt_token_ids: Sequence[int]) -> None:
        self.token_ids = list(prompt_token_ids)
        """The verified text: prompt and output."""
        self.drafts: deque[int] = deque()
        self.lanes: deque[Lane] = deque()
        self.num_computed = 0
        self._first_broken: int | None = None
        """Index of the first computed token whose keys or values are not finite."""

    @property
    def num_verified(self) -> int:
        return len(self.token_ids)

    @property
    def num_known(self) -> int:
        """Number of verified tokens and drafts."""
        return len(self.token_ids) + len(self.drafts)

    @property
    def num_drafts_fed(self) -> int:
        """Number of drafts whose keys and values are computed."""
        return max(0, self.num_computed - self.num_verified)

    def token_at(self, index: int) -> int:
        """The token at an index, verified or a draft."""
        beyond = index - self.num_verified
        return self.token_ids[index] if beyond < 0 else self.drafts[beyond]

    def text_until(self, end: int) -> list[int]:
        """The tokens `[0, end)`, drafts included."""
        beyond = max(0, end - self.num_verified)
        return self.token_ids[:end] + [self.drafts[i] for i in range(beyond)]

    def feed(self, end: int) -> int:
        """Mark the tokens `[num_computed, end)` as computed.

        Returns:
            How many of them are drafts.
        """
        num_fed_before = self.num_drafts_fed
        self.num_computed = end
        for index in range(num_fed_before, self.num_drafts_fed):
            self.lanes[index].is_draft_fed = True
        return self.num_drafts_fed - num_fed_before

    def mark_broken(self, index: int) -> None:
        """Note that the keys or values of a computed token are not finite."""
        if not self.is_broken(index):
            self._first_broken = index

    def is_broken(self, anchor: int) -> bool:
        """Whether this token attends to a broken one, or is one."""
        return self._first_broken is not None and self._first_broken <= anchor

    def add_draft(self, anchor: int, token_id: int) -> None:
        """Append the draft that follows an anchor, which must be the newest token."""
        assert anchor == self.num_known - 1, "a draft must follow the newest token"
        self.drafts.append(token_id)

    def verify(self) -> Verified | None:
        """Verify the next token if the oldest lane has decided it; None otherwise.

        If the draft is another token, the decision replaces it, and later drafts and lanes are
        dropped.
        """
        if not self.lanes or self.lanes[0].decision is None:
            return None
        lane = self.lanes.popleft()
        decision = lane.decision
        assert decision is not None
        assert lane.anchor == self.num_verified - 1, "a lane was lost"
        is_draft_kept = self.drafts.popleft() == decision.token_id
        dropped = [] if is_draft_kept else self._roll_back()
        self.token_ids.append(decision.token_id)
        return Verified(lane=lane, decision=decision, is_draft_kept=is_draft_kept, dropped=dropped)

    def forget_computed(self) -> list[Lane]:
        """Keep only the verified text, for a preemption.

        Returns:
            The lanes that were dropped.
        """
        dropped = self._roll_back()
        self._forget_from(0)
        return dropped

    def _roll_back(self) -> list[Lane]:
        """Drop all drafts and lanes."""
        dropped = list(self.lanes)
        self.lanes.clear()
        self.drafts.clear()
        self._forget_from(self.num_verified)
        return dropped

    def _forget_from(self, index: int) -> None:
        """Forget the keys and values of the tokens from this index on."""
        self.num_computed = min(self.num_computed, index)
        if self._first_broken is not None and self._first_broken >= self.num_computed:
            self._first_broken = None
