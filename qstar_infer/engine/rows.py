"""What one step computes, row by row. No tensors.

A row is one query position in one forward pass: what it embeds, where it sits, where its key and
value are written, what it may attend to. Prefill, decode, thinking and scoring are all rows; a row
attends to the first `context_len` slots of its sequence's block table and, if it belongs to a lane,
to the first `lane_len` slots of that lane.
"""

from dataclasses import dataclass, field

from qstar_infer.engine.sequence import Lane, Sequence

START = -1
END = -2
"""Stand-ins for token ids: the rows that embed the start and end vectors."""


@dataclass(slots=True, kw_only=True)
class BaseJob:
    """The logits of a base row: a draft, or the decision itself where there is no thought."""

    row: int
    anchor: int
    lane: Lane


@dataclass(slots=True, kw_only=True)
class ThoughtJob:
    """The logits of a thought row: its lane's next token."""

    row: int
    lane: Lane


@dataclass(slots=True, kw_only=True)
class TargetJob:
    """The state at a lane's end vector: mix, and decide."""

    row: int
    lane: Lane


@dataclass(slots=True, kw_only=True)
class SequenceRows:
    """One sequence's rows in a step; row numbers count within these lists."""

    seq: Sequence
    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    context_lens: list[int] = field(default_factory=list)
    lane_of_row: list[int] = field(default_factory=list)
    """Index into `lanes`, or -1 for a base row."""
    lane_lens: list[int] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    """The lanes that have rows in this step."""
    base_jobs: list[BaseJob] = field(default_factory=list)
    thought_jobs: list[ThoughtJob] = field(default_factory=list)
    target_jobs: list[TargetJob] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        return len(self.token_ids)

    def add_base(self, index: int, *, block_size: int) -> int:
        """The base row of token `index`."""
        return self._add(
            token_id=self.seq.token_ids[index],
            position=index,
            slot=_slot(self.seq.block_table, index, block_size),
            context_len=index + 1,
        )

    def add_thought(self, lane: Lane, token_id: int, depth: int, *, block_size: int) -> int:
        """Thought row `depth` (0 for start) of a lane; token id, START or END."""
        if not self.lanes or self.lanes[-1] is not lane:
            self.lanes.append(lane)
        return self._add(
            token_id=token_id,
            position=lane.anchor + 1 + depth,
            slot=_slot(lane.blocks, depth, block_size),
            context_len=lane.anchor + 1,
            lane=len(self.lanes) - 1,
            lane_len=depth + 1,
        )

    def _add(
        self,
        *,
        token_id: int,
        position: int,
        slot: int,
        context_len: int,
        lane: int = -1,
        lane_len: int = 0,
    ) -> int:
        self.token_ids.append(token_id)
        self.positions.append(position)
        self.slots.append(slot)
        self.context_lens.append(context_len)
        self.lane_of_row.append(lane)
        self.lane_lens.append(lane_len)
        return len(self.token_ids) - 1


def _slot(blocks: list[int], index: int, block_size: int) -> int:
    return blocks[index // block_size] * block_size + index % block_size


def build_rows(
    seq: Sequence, *, feed_end: int, new_lanes: dict[int, Lane], block_size: int
) -> SequenceRows:
    """The rows of one sequence in the coming step.

    Every lane in flight advances by one row; at its last step by two, the last thought token and
    the end vector, because keys are written before attention reads them. The same holds for a fed
    token and the start row of its lane.

    Args:
        feed_end: tokens `[num_computed, feed_end)` are fed.
        new_lanes: the lane of each fed anchor whose next token is to be decided or scored.
    """
    rows = SequenceRows(seq=seq)
    for lane in (*seq.scoring_lanes, *seq.lanes):
        if lane.choice is None:
            _advance_lane(rows, lane, seq.num_thought_tokens, block_size)
    for anchor in range(seq.num_computed, feed_end):
        row = rows.add_base(anchor, block_size=block_size)
        if anchor not in new_lanes:
            continue
        lane = new_lanes[anchor]
        rows.base_jobs.append(BaseJob(row=row, anchor=anchor, lane=lane))
        if lane.blocks:
            row = rows.add_thought(lane, START, 0, block_size=block_size)
            rows.thought_jobs.append(ThoughtJob(row=row, lane=lane))
    return rows


def _advance_lane(rows: SequenceRows, lane: Lane, length: int, block_size: int) -> None:
    depth = len(lane.thought)
    row = rows.add_thought(lane, lane.thought[-1], depth, block_size=block_size)
    if depth < length:
        rows.thought_jobs.append(ThoughtJob(row=row, lane=lane))
        return
    row = rows.add_thought(lane, END, depth + 1, block_size=block_size)
    rows.target_jobs.append(TargetJob(row=row, lane=lane))
