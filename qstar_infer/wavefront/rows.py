"""Builds the rows of a step: those of the lanes in flight, and of the newly fed tokens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from qstar_infer.step import END, NO_LANE, START, SequenceRows, StepBatch, StepResult
from qstar_infer.wavefront.lane import Lane, row_position
from qstar_infer.wavefront.picks import base_pick, target_pick, thought_pick
from qstar_infer.wavefront.sequence import Sequence


@dataclass(slots=True, kw_only=True)
class SequenceStep:
    """One sequence's part in a step. The `StepBatch` contains its rows but not this object."""

    seq: Sequence
    fed: range
    """Indices of the tokens to feed."""
    advancing: list[Lane]
    """Lanes in flight."""
    opening: dict[int, Lane]
    """By anchor: the new lane of each fed token whose next token is to be decided or scored."""
    thinking: list[Lane] = field(default_factory=list)
    """Lanes that get their next thought token, in the order of the batch's picks."""
    ending: list[Lane] = field(default_factory=list)
    """Lanes that end, in the order of the batch's picks."""

    @property
    def num_rows(self) -> int:
        num_starts = sum(lane.starts_with_anchor for lane in self.opening.values())
        return sum(lane.num_next_rows for lane in self.advancing) + len(self.fed) + num_starts


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """A step to run, and the sequences that its rows belong to."""

    batch: StepBatch
    sequences: list[SequenceStep]
    """In the order of `batch.sequences`."""


def build_plan(steps: Iterable[SequenceStep], *, block_size: int) -> StepPlan:
    """Build the batch of a step. Sequences of similar shape are adjacent: they attend together."""
    ordered = sorted(steps, key=_shape)
    batch = StepBatch(block_size=block_size)
    for step in ordered:
        _SequenceWriter(batch, step).write()
    return StepPlan(batch=batch, sequences=ordered)


def split_result(plan: StepPlan, result: StepResult) -> Iterator[tuple[SequenceStep, StepResult]]:
    """Split a step's result by sequence: an entry for each of its lanes that open, think or end.

    The broken rows of a share count from the sequence's first row.
    """
    first = 0
    base = iter(result.base_tokens)
    thoughts = iter(result.thought_token_ids)
    targets = iter(result.target_tokens)
    for step, rows in zip(plan.sequences, plan.batch.sequences, strict=True):
        # Not `step.num_rows`: a failure of another completion may have released its lanes.
        last = first + rows.num_rows
        yield (
            step,
            StepResult(
                base_tokens=[next(base) for _ in step.opening],
                thought_token_ids=[next(thoughts) for _ in step.thinking],
                target_tokens=[next(targets) for _ in step.ending],
                broken_rows=[row - first for row in result.broken_rows if first <= row < last],
            ),
        )
        first = last


def owners_of_rows(step: SequenceStep) -> Iterator[Lane | int]:
    """For each row of a step that is not recorded yet: its lane, or the index of its token."""
    for lane in step.advancing:
        yield from [lane] * lane.num_next_rows
    for index in step.fed:
        yield index
        lane_here = step.opening.get(index)
        if lane_here is not None and lane_here.starts_with_anchor:
            yield lane_here


def _shape(step: SequenceStep) -> tuple[int, int]:
    """Sort key: number of rows; table size to a factor of two, because tables are padded."""
    assert step.seq.table is not None
    return step.num_rows, len(step.seq.table).bit_length()


class _SequenceWriter:
    """Writes one sequence's rows and picks into a batch."""

    def __init__(self, batch: StepBatch, step: SequenceStep) -> None:
        assert step.seq.table is not None
        self._batch = batch
        self._step = step
        self._seq = step.seq
        self._table = step.seq.table
        self._lanes: list[Lane] = []

    def write(self) -> None:
        first = self._batch.num_rows
        for lane in self._step.advancing:
            self._advance(lane)
        for index in self._step.fed:
            self._feed(index)
        self._batch.sequences.append(
            SequenceRows(
                num_rows=self._batch.num_rows - first,
                block_table=list(self._table),
                lane_tables=[list(lane.table) for lane in self._lanes if lane.table is not None],
                slot=0 if self._seq.slot is None else self._seq.slot,
                lane_slots=[
                    lane.buffer_slot for lane in self._lanes if lane.buffer_slot is not None
                ],
            )
        )

    def _advance(self, lane: Lane) -> None:
        """Add the next row of a lane; in its last step two: the last thought token and the end."""
        depth = len(lane.thought)
        if depth == 0:  # the gate has opened it
            self._start(lane)
            return
        row = self._add_thought(lane, lane.thought[-1], depth)
        if not lane.is_at_end:
            self._think(lane, row)
            return
        row = self._add_thought(lane, END, depth + 1)
        self._batch.target_picks.append(target_pick(self._seq, lane, row))
        self._step.ending.append(lane)

    def _feed(self, index: int) -> None:
        """Add the base row of a token, and the first row of the lane that opens at it."""
        row = self._add_row(
            token_id=self._seq.wavefront.token_at(index),
            position=index,
            slot=self._table.slot(index, self._batch.block_size),
            context_len=index + 1,
        )
        lane = self._step.opening.get(index)
        if lane is None:
            return
        self._batch.base_picks.append(base_pick(self._seq, lane, row))
        if lane.starts_with_anchor:
            self._start(lane)

    def _start(self, lane: Lane) -> None:
        self._think(lane, self._add_thought(lane, START, 0))

    def _think(self, lane: Lane, row: int) -> None:
        self._batch.thought_picks.append(thought_pick(self._seq, lane, row))
        self._step.thinking.append(lane)

    def _add_thought(self, lane: Lane, token_id: int, depth: int) -> int:
        assert lane.table is not None
        if not self._lanes or self._lanes[-1] is not lane:
            self._lanes.append(lane)
        return self._add_row(
            token_id=token_id,
            position=row_position(lane.anchor, depth),
            slot=lane.table.slot(depth, self._batch.block_size),
            context_len=lane.anchor + 1,
            lane=len(self._lanes) - 1,
            lane_len=depth + 1,
        )

    def _add_row(
        self,
        *,
        token_id: int,
        position: int,
        slot: int,
        context_len: int,
        lane: int = NO_LANE,
        lane_len: int = 0,
    ) -> int:
        batch = self._batch
        batch.token_ids.append(token_id)
        batch.positions.append(position)
        batch.slots.append(slot)
        batch.context_lens.append(context_len)
        batch.row_lanes.append(lane)
        batch.lane_lens.append(lane_len)
        return batch.num_rows - 1
