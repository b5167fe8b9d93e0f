"""One forward pass as plain data: what to compute (`StepBatch`), and what came out (`StepResult`).

Integers, floats and lists; no tensors and no live objects. A step can be written down, replayed in
a test, or sent to another process; `msgspec` encodes both messages as they are.

A row is one query position: what it embeds, where it sits, where its key and value are written,
what it may attend to. Prefill, decoding, thinking and prompt scoring are all rows. A row attends to
the first `context_len` slots of its sequence's block table and, if it belongs to a lane, to the
first `lane_len` slots of that lane's.
"""

import math
from dataclasses import dataclass, field

START = -1
END = -2
"""Stand-ins for token ids: the rows that embed the start and end vectors."""
NO_LANE = -1


@dataclass(slots=True, kw_only=True)
class ThoughtPick:
    """Sample a thought's next token from the logits of a row. Thoughts have no filters."""

    row: int
    temperature: float
    seed: int
    position: int
    """Index in the sequence of the visible token that the thought is about."""
    stream_index: int
    """Which token of the thought, from 1: tells its noise from that of the others."""


@dataclass(slots=True, kw_only=True)
class VisiblePick:
    """Pick a visible token, or score the one that is already known, from the logits of a row.

    The defaults are greedy decoding without any filter.
    """

    row: int
    seed: int
    position: int
    """Index in the sequence of the token."""
    lane_slot: int | None = None
    """Where the lane's buffers keep the state and logits at its anchor; None for no thought."""
    known_id: int | None = None
    """A prompt token to score. None: pick one."""
    may_decide: bool = True
    """The pick may be final, so its log-probabilities are needed; False: only a draft."""
    num_top_logprobs: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    banned_ids: list[int] = field(default_factory=list)
    """Ids that may not be picked, such as end of sequence below `min_tokens`."""
    history: list[int] = field(default_factory=list)
    """All tokens before this one; empty unless a penalty needs them."""
    num_prompt_tokens: int = 0
    """How many of `history` are the prompt, which only `repetition_penalty` counts."""


@dataclass(slots=True, kw_only=True)
class SampledToken:
    """A token, and what the distributions said of it (natural logarithms)."""

    token_id: int
    logprob: float = math.nan
    """Under the mixed distribution. NaN for a draft that a thought is still to judge."""
    base_logprob: float = math.nan
    """Without the thought."""
    mixing_weight: float = 0.0
    top_logprobs: list[tuple[int, float]] = field(default_factory=list)
    """The most likely tokens of the mixed distribution, best first; as many as were asked for."""
    top_logprob: float = math.nan
    """Log-probability of the most likely token."""


@dataclass(slots=True, kw_only=True)
class SequenceRows:
    """Which of a step's rows are one sequence's, and the blocks that they may attend to."""

    num_rows: int
    block_table: list[int]
    lane_tables: list[list[int]]
    """Block table of each lane that has rows in this step."""


@dataclass(slots=True, kw_only=True)
class StepBatch:
    """What one forward pass computes. Rows stand sequence by sequence, in the order of `sequences`.

    Sequences with equally many rows stand next to each other, so that they can attend together.
    """

    block_size: int
    """Slots per block."""
    sequences: list[SequenceRows] = field(default_factory=list)

    # One entry for each row.
    token_ids: list[int] = field(default_factory=list)
    """A token id, `START` or `END`."""
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    """Where in the pool the row's key and value are written."""
    context_lens: list[int] = field(default_factory=list)
    row_lanes: list[int] = field(default_factory=list)
    """Index into the sequence's `lane_tables`, or `NO_LANE`."""
    lane_lens: list[int] = field(default_factory=list)

    # What is read from which rows.
    base_picks: list[VisiblePick] = field(default_factory=list)
    """From the base logits: a draft, or the decision itself where there is no thought."""
    thought_picks: list[ThoughtPick] = field(default_factory=list)
    target_picks: list[VisiblePick] = field(default_factory=list)
    """From the mixed logits at a lane's end: the decision."""

    @property
    def num_rows(self) -> int:
        return len(self.token_ids)


@dataclass(slots=True, kw_only=True)
class StepResult:
    """What a step decided, in the order of the batch's picks."""

    base_tokens: list[SampledToken]
    thought_token_ids: list[int]
    target_tokens: list[SampledToken]
