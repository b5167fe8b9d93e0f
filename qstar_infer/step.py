"""One forward pass as plain data: its input (`StepBatch`) and its result (`StepResult`).

Both contain only integers, floats and lists, no tensors and no live objects. A step can be
recorded, replayed in a test, or sent to another process. `msgspec` encodes both without further
code.

A row is one query position. It has a token to embed, a position, a slot that its key and value are
written to, and the slots that it may attend to. Prefill, decoding, thinking and prompt scoring all
consist of rows. A row attends to the first `context_len` slots of its sequence's block table and,
if it belongs to a lane, to the first `lane_len` slots of that lane's block table.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

START = -1
END = -2
"""Used as token ids by rows that embed the start vector and the end vector."""
NO_LANE = -1

Fault = Literal["model", "talk_head", "gate", "no_token"]
"""What computed a number that is NaN or infinite; or that no token was allowed."""


@dataclass(slots=True, kw_only=True)
class ThoughtPick:
    """Sample a thought's next token from the logits of a row, without filters or penalties."""

    row: int
    temperature: float
    seed: int
    position: int
    """Index in the sequence of the visible token that the thought is about."""
    stream_index: int
    """Number of the token in the thought, from 1. Each has its own noise."""


@dataclass(slots=True, kw_only=True)
class VisiblePick:
    """Sample a visible token, or score a known one, from the logits of a row.

    The defaults are greedy decoding without filters.
    """

    row: int
    seed: int
    position: int
    """Index in the sequence of the token."""
    lane_slot: int | None = None
    """Slot of the lane buffers for the state and logits at the anchor; None without a thought."""
    known_id: int | None = None
    """A prompt token to score. None: sample one."""
    may_decide: bool = True
    """True if the pick may be final, so that its log-probabilities are needed. False: a draft."""
    asks_gate: bool = False
    """Whether the gate decides if the model thinks here; the result is `SampledToken.thinks`."""
    num_top_logprobs: int = 0
    num_base_top_logprobs: int = 0
    """How many of the most likely tokens without the thought to report; only of a decision."""
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    allowed: bytes | None = None
    """Bitmask of the only ids that may be sampled (`token_rules`); None: all."""
    banned_ids: list[int] = field(default_factory=list)
    """Ids that must not be sampled, such as end of sequence below `min_tokens`."""
    history: list[int] = field(default_factory=list)
    """All tokens before this one; empty unless a penalty needs them."""
    num_prompt_tokens: int = 0
    """Number of prompt tokens in `history`. Only `repetition_penalty` counts these."""


@dataclass(slots=True, kw_only=True)
class SampledToken:
    """A token and its log-probabilities (natural logarithms)."""

    token_id: int
    logprob: float = math.nan
    """Under the mixed distribution. NaN for a draft that is still to be verified."""
    base_logprob: float = math.nan
    """Under the base distribution, without the thought."""
    mixing_weight: float = 0.0
    top_logprobs: list[tuple[int, float]] = field(default_factory=list)
    """The most likely tokens of the mixed distribution, best first, as many as requested."""
    base_top_logprobs: list[tuple[int, float]] = field(default_factory=list)
    """Likewise of the base distribution; the first of `top_logprobs` where there is no thought."""
    top_logprob: float = math.nan
    """Log-probability of the most likely token."""
    rank: int | None = None
    """Of a known token: 1 if it is the most likely one of the mixed distribution."""
    thinks: bool = True
    """False if the gate was asked and says not to think: the base prediction decides."""
    fault: Fault | None = None
    """Set if some logit, the mixing weight, a log-probability or the gate's score is not finite, or
    if the pick allows no token. The token and all numbers are then meaningless."""


@dataclass(slots=True, kw_only=True)
class SequenceRows:
    """The number of a sequence's rows in a step, and the blocks that they may attend to."""

    num_rows: int
    block_table: list[int]
    lane_tables: list[list[int]]
    """Block table of each lane that has rows in this step."""
    slot: int = 0
    """Number of the sequence among those that run, below the most that may."""
    lane_slots: list[int] = field(default_factory=list)
    """Slot of the lane buffers of each lane in `lane_tables`."""


@dataclass(slots=True, kw_only=True)
class StepBatch:
    """The input of one forward pass. Rows are grouped by sequence, in the order of `sequences`.

    Sequences with the same number of rows are adjacent, so that they can attend together.
    """

    block_size: int
    """Slots per block."""
    sequences: list[SequenceRows] = field(default_factory=list)
    released_slots: list[int] = field(default_factory=list)
    """Slots of sequences that ended or gave up their keys and values since the last step. A runner
    that names keys and values by sequence and lane frees them; these rows may take the slots
    again."""
    released_lane_slots: list[int] = field(default_factory=list)
    """Likewise of lanes."""

    # One entry for each row.
    token_ids: list[int] = field(default_factory=list)
    """A token id, `START` or `END`."""
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    """Pool slot that the row's key and value are written to."""
    context_lens: list[int] = field(default_factory=list)
    row_lanes: list[int] = field(default_factory=list)
    """Index into the sequence's `lane_tables`, or `NO_LANE`."""
    lane_lens: list[int] = field(default_factory=list)

    # What to sample, and from which rows.
    base_picks: list[VisiblePick] = field(default_factory=list)
    """From the base logits: a draft, or the decision if there is no thought."""
    thought_picks: list[ThoughtPick] = field(default_factory=list)
    target_picks: list[VisiblePick] = field(default_factory=list)
    """From the mixed logits at a lane's end: the decision."""

    @property
    def num_rows(self) -> int:
        return len(self.token_ids)

    @property
    def pick_rows(self) -> list[int]:
        """The row of each base pick, target pick and thought pick, in this order.

        So the logits of visible tokens are adjacent.
        """
        visible = [pick.row for pick in (*self.base_picks, *self.target_picks)]
        return visible + [pick.row for pick in self.thought_picks]


@dataclass(slots=True, kw_only=True)
class StepResult:
    """The sampled tokens of a step, in the order of the batch's picks."""

    base_tokens: list[SampledToken]
    thought_token_ids: list[int]
    target_tokens: list[SampledToken]
    broken_rows: list[int] = field(default_factory=list)
    """Rows whose keys, values or thought logits are not finite, ascending. What attends to such a
    row, now or later, is meaningless."""
