"""The verified text of one sequence, its drafts, and the lanes that verify them.

    index      0 .. num_verified .. num_known .. num_known + len(guesses)
               verified text      drafts      guesses
    the tokens [0, num_computed) have keys and values in the pool

Only verified tokens leave the engine. `lanes[i]` thinks at anchor `num_verified - 1 + i` and
verifies `drafts[i]`.

A guess is a draft that followed a wrong draft. Where a model thinks at few tokens, a wrong draft
often changes little of what follows. So the guesses are fed together, in the pass of the decision
that replaced the wrong draft. The base prediction at each token gives the draft after it: a guess
that equals it has saved a pass. A wrong one is replaced; what follows it is guessed once more if
the pass has confirmed a guess before it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from qstar_infer.step import SampledToken
from qstar_infer.wavefront.lane import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of verifying one token."""

    lane: Lane
    """The lane that decided the token; its blocks and slot have been released."""
    decision: SampledToken
    draft_id: int
    """The token of the base prediction."""
    is_draft_kept: bool
    """True if the draft equalled the decision. False: later drafts and lanes were dropped."""
    dropped: list[Lane]
    """Lanes that depended on this draft, if it was wrong, or on a wrong guess since the token
    before; the caller releases their blocks and slots."""


class Wavefront:
    """Drafts tokens ahead of the verified text, and verifies or drops them."""

    def __init__(self, prompt_token_ids: Sequence[int]) -> None:
        self.token_ids = list(prompt_token_ids)
        """The verified text: prompt and output."""
        self.drafts: deque[int] = deque()
        self.guesses: deque[int] = deque()
        self.lanes: deque[Lane] = deque()
        self.num_computed = 0
        self._behind_wrong_guesses: list[Lane] = []
        """Lanes that were dropped since a token was verified."""
        self._was_guess_right = False
        """Whether the newest step has confirmed a guess."""
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
        """Number of drafts, and guesses, whose keys and values are computed."""
        return max(0, self.num_computed - self.num_verified)

    @property
    def num_settled(self) -> int:
        """Number of verified tokens whose keys and values are computed and finite.

        Between two steps only: `feed` counts the tokens of a step before it runs.
        """
        num_finite = self.num_computed if self._first_broken is None else self._first_broken
        return min(self.num_computed, self.num_verified, num_finite)

    def token_at(self, index: int) -> int:
        """The token at an index: verified, a draft or a guess."""
        beyond = index - self.num_verified
        if beyond < 0:
            return self.token_ids[index]
        num_drafts = len(self.drafts)
        return self.drafts[beyond] if beyond < num_drafts else self.guesses[beyond - num_drafts]

    def text_until(self, end: int) -> list[int]:
        """The tokens `[0, end)`, drafts and guesses included."""
        beyond = max(0, end - self.num_verified)
        return self.token_ids[:end] + [*islice(chain(self.drafts, self.guesses), beyond)]

    def feed(self, end: int) -> int:
        """Mark the tokens `[num_computed, end)` as computed. Each has its lane already.

        Returns:
            How many of them are drafts or guesses.
        """
        num_fed_before = self.num_drafts_fed
        self.num_computed = end
        self._was_guess_right = False
        for index in range(num_fed_before, self.num_drafts_fed):
            self.lanes[index].is_draft_fed = True
            self.lanes[index + 1].draft_id = self.token_at(self.num_verified + index)
        return self.num_drafts_fed - num_fed_before

    def mark_broken(self, index: int) -> None:
        """Note that the keys or values of a computed token are not finite."""
        if not self.is_broken(index):
            self._first_broken = index

    def is_broken(self, anchor: int) -> bool:
        """Whether this token attends to a broken one, or is one."""
        return self._first_broken is not None and self._first_broken <= anchor

    def add_draft(self, anchor: int, token_id: int) -> list[Lane]:
        """Append the draft that follows an anchor, which must be the newest token.

        Returns:
            The lanes that followed a wrong guess of this draft, and were dropped.
        """
        assert anchor == self.num_known - 1, "a draft must follow the newest token"
        self.drafts.append(token_id)
        if not self.guesses:
            return []
        if self.guesses.popleft() == token_id:
            self._was_guess_right = True
            return []
        if not self._was_guess_right:
            self.guesses.clear()  # the text has become another one
        dropped = self._drop_after(anchor)
        self._behind_wrong_guesses += reversed(dropped)
        return dropped

    def verify(self) -> Verified | None:
        """Verify the next token if the oldest lane has decided it; None otherwise.

        If the draft is another token, the decision replaces it. Later drafts become guesses, and
        their lanes are dropped.
        """
        if not self.lanes or self.lanes[0].decision is None:
            return None
        lane = self.lanes.popleft()
        decision = lane.decision
        assert decision is not None
        assert lane.anchor == self.num_verified - 1, "a lane was lost"
        draft_id = self.drafts.popleft()
        is_draft_kept = draft_id == decision.token_id
        dropped, self._behind_wrong_guesses = self._behind_wrong_guesses, []
        if not is_draft_kept:
            guesses = [*self.drafts, *self.guesses]
            dropped += self._roll_back()
            self.guesses.extend(guesses)
        self.token_ids.append(decision.token_id)
        return Verified(
            lane=lane,
            decision=decision,
            draft_id=draft_id,
            is_draft_kept=is_draft_kept,
            dropped=dropped,
        )

    def drop_drafts(self) -> list[Lane]:
        """Keep only the oldest lane and its draft, to make room for others.

        Returns:
            The lanes that were dropped.
        """
        while len(self.drafts) > 1:
            self.drafts.pop()
        self.guesses.clear()
        return self._drop_after(self.num_verified - 1)

    def forget_computed(self) -> list[Lane]:
        """Keep only the verified text, for a preemption.

        Returns:
            The lanes that were dropped.
        """
        self._behind_wrong_guesses.clear()
        dropped = self._roll_back()
        self._forget_from(0)
        return dropped

    def _drop_after(self, anchor: int) -> list[Lane]:
        """Drop the lanes after an anchor, and forget the keys and values there."""
        dropped: list[Lane] = []
        while self.lanes and self.lanes[-1].anchor > anchor:
            dropped.append(self.lanes.pop())
        if dropped:
            self.lanes[-1].is_draft_fed = False  # what was fed after it was a wrong guess
        self._forget_from(anchor + 1)
        return dropped

    def _roll_back(self) -> list[Lane]:
        """Drop all drafts, guesses and lanes."""
        dropped = list(self.lanes)
        self.lanes.clear()
        self.drafts.clear()
        self.guesses.clear()
        self._forget_from(self.num_verified)
        return dropped

    def _forget_from(self, index: int) -> None:
        """Forget the keys and values of the tokens from this index on."""
        self.num_computed = min(self.num_computed, index)
        if self._first_broken is not None and self._first_broken >= self.num_computed:
            self._first_broken = None
