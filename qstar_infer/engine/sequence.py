"""The state of one completion on its way through the engine. No tensors.

    token_ids = prompt | verified output | drafts
                0 .. num_prompt_tokens .. num_verified .. len(token_ids)
    [0, num_computed) have their keys and values in the block table

Only tokens below `num_verified` are real; drafts wait for the thought at their anchor.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from qstar_infer.sampling_params import SamplingParams


class SequenceStatus(Enum):
    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A decided token and what the distributions said of it (natural logarithms)."""

    token_id: int
    logprob: float
    base_logprob: float
    mixing_weight: float = 0.0
    top_logprobs: tuple[tuple[int, float], ...] = ()
    """The most likely tokens of the mixed distribution, best first; as many as were asked for."""
    top_logprob: float = math.nan
    """That of the most likely token."""

    @classmethod
    def draft(cls, token_id: int) -> "Choice":
        """A token that a thought is still to judge: its log-probabilities were not computed."""
        return cls(token_id=token_id, logprob=math.nan, base_logprob=math.nan)


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """One thought in flight, at one anchor.

    While it is in flight it owns its blocks and a buffer slot; a lane without a thought (the model
    does not think here) owns nothing and has its choice from the start.
    """

    anchor: int
    buffer_slot: int | None = None
    """Row of the runner's buffers that keeps the anchor's state and base logits."""
    blocks: list[int] = field(default_factory=list)
    thought: list[int] = field(default_factory=list)
    choice: Choice | None = None
    was_fed: bool = False
    """The draft after the anchor was fed before this lane decided it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """One completion of one request."""

    request_id: str
    index: int
    """Which of the request's `n` completions."""
    params: SamplingParams
    seed: int
    num_thought_tokens: int
    """Resolved for this model; 0 does not think."""
    token_ids: list[int]
    num_prompt_tokens: int
    max_tokens: int
    eos_token_ids: frozenset[int] = frozenset()
    """Empty where `ignore_eos` is set."""
    scores_prompt: bool = False
    """Score the prompt's tokens as well (one completion of a request does)."""
    arrival: int = 0
    """Order of arrival, for fairness."""
    status: SequenceStatus = SequenceStatus.WAITING
    num_verified: int = 0
    num_computed: int = 0
    block_table: list[int] = field(default_factory=list)
    lanes: deque[Lane] = field(default_factory=deque)
    """Decisions in the order of their anchors, from num_verified - 1 on."""
    scoring_lanes: deque[Lane] = field(default_factory=deque)
    """Thoughts about prompt positions whose next token is known."""
    prompt_choices: list[Choice] = field(default_factory=list)
    """Scores of prompt tokens 1, 2, ...: grows in order."""

    def __post_init__(self) -> None:
        self.num_verified = self.num_prompt_tokens

    @property
    def num_output_tokens(self) -> int:
        return self.num_verified - self.num_prompt_tokens

    @property
    def is_prompt_scored(self) -> bool:
        """Nothing of the prompt is left to score."""
        return not self.scores_prompt or len(self.prompt_choices) == self.num_prompt_tokens - 1

    @property
    def num_feedable(self) -> int:
        """Tokens that may be fed: nothing comes after the last token that `max_tokens` allows."""
        return min(len(self.token_ids), self.num_prompt_tokens + self.max_tokens - 1)

    @property
    def is_prefilling(self) -> bool:
        """More than the newest verified token is still to be computed."""
        return self.num_computed < self.num_verified - 1

    @property
    def end_token_ids(self) -> frozenset[int]:
        """Token ids that end the output."""
        return self.eos_token_ids | set(self.params.stop_token_ids)

    def needs_choice(self, anchor: int) -> bool:
        """The token after this anchor is still to be decided or scored."""
        return anchor >= self.num_verified - 1 or self.needs_score(anchor)

    def needs_score(self, anchor: int) -> bool:
        """The known prompt token after this anchor is still to be scored."""
        is_in_prompt = len(self.prompt_choices) <= anchor < self.num_prompt_tokens - 1
        return self.scores_prompt and is_in_prompt

    def known_next(self, anchor: int) -> int | None:
        """The prompt token after the anchor; None where the model is to choose."""
        is_known = anchor + 1 < self.num_prompt_tokens
        return self.token_ids[anchor + 1] if is_known else None

    def next_decision(self) -> Lane | None:
        """The lane at the oldest unverified anchor, once it has decided."""
        if self.lanes and self.lanes[0].choice is not None:
            assert self.lanes[0].anchor == self.num_verified - 1
            return self.lanes[0]
        return None

    def verify(self, token_id: int) -> bool:
        """Accept the target after the oldest unverified anchor.

        Returns:
            True if the draft agreed. False: the target took its place, and everything after it
            was dropped (the caller drops the lanes).
        """
        is_same = self.token_ids[self.num_verified] == token_id
        if not is_same:
            del self.token_ids[self.num_verified :]
            self.token_ids.append(token_id)
            self.num_computed = min(self.num_computed, self.num_verified)
        self.num_verified += 1
        return is_same

    def forget_unverified(self) -> None:
        """Back to the verified text with nothing computed: what a preemption leaves."""
        del self.token_ids[self.num_verified :]
        self.num_computed = 0
