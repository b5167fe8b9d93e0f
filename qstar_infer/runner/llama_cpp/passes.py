"""Translates a step into passes of llama.cpp. Plain data, no llama.cpp.

llama.cpp has no block tables: each stored key and value, a cell, is tagged with the numbers of the
texts that it belongs to. A running sequence is one text, with its slot as number; a lane is
another, behind the sequences. A lane's text begins with the cells of its sequence up to the anchor:
those that are stored already are copied by tag, and a base row that shares the pass with the lane's
start is tagged with both.

Rows are ordered so that the logits come out in the order of the picks: rows without a pick, base
picks, target picks, thought picks. Within a text, positions still ascend.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from qstar_infer.step import END, NO_LANE, START, StepBatch

SILENT_LIMIT = 8
"""More rows without a pick get a pass of their own: where states are needed, llama.cpp computes
logits for all rows of a pass."""


@dataclass(slots=True, kw_only=True)
class Copy:
    """Let a lane begin with the cells of its sequence at the positions `[0, end)`."""

    source: int
    lane: int
    end: int


@dataclass(slots=True, kw_only=True)
class Pass:
    """Rows for one call of `llama_decode`."""

    copies: list[Copy] = field(default_factory=list)
    """To do before it."""
    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    texts: list[list[int]] = field(default_factory=list)
    """Numbers of the texts that each row belongs to; the first is the one it attends to."""
    num_silent: int = 0
    """The first rows, which have no picks."""

    @property
    def num_rows(self) -> int:
        return len(self.token_ids)

    def fill_up(self, count: int, text: int) -> None:
        """Put silent rows of a text of their own, which has no cells yet, before the others."""
        self.token_ids[:0] = [0] * count
        self.positions[:0] = range(count)
        self.texts[:0] = [[text]] * count
        self.num_silent += count


@dataclass(slots=True, kw_only=True)
class StepPasses:
    """A step for llama.cpp."""

    starts: dict[int, int]
    """Slot of each sequence that feeds tokens -> position of the first. Cells from there on are
    those of dropped drafts."""
    passes: list[Pass]
    """The last has all picks, in their order."""
    needs_states: bool
    """Whether the states of the last pass are needed, and not only its logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    number: int
    text: int
    position: int
    token_id: int


def plan_passes(batch: StepBatch, *, first_lane: int, vector_ids: tuple[int, int]) -> StepPasses:
    """The passes of a step.

    Args:
        batch: the step.
        first_lane: number of the text of the lane with slot 0.
        vector_ids: ids of the start vector and of the end vector.
    """
    rows = list(_rows(batch, first_lane, {START: vector_ids[0], END: vector_ids[1]}))
    picked = batch.pick_rows
    silent = [rows[number] for number in sorted({*range(len(rows))} - {*picked})]
    loud = [rows[number] for number in picked]
    needs_states = bool(batch.target_picks) or any(
        pick.lane_slot is not None or pick.asks_gate for pick in batch.base_picks
    )
    is_apart = needs_states and len(silent) > SILENT_LIMIT and bool(loud)
    passes = [_pass(silent, num_silent=len(silent))] if is_apart else []
    passes.append(_pass(loud) if is_apart else _pass(silent + loud, num_silent=len(silent)))
    _open_lanes(batch, passes[-1], loud if is_apart else silent + loud)
    return StepPasses(starts=_starts(batch, rows), passes=passes, needs_states=needs_states)


def _rows(batch: StepBatch, first_lane: int, vectors: dict[int, int]) -> Iterator[_Row]:
    number = 0
    for sequence in batch.sequences:
        for _ in range(sequence.num_rows):
            lane = batch.row_lanes[number]
            token_id = batch.token_ids[number]
            yield _Row(
                number=number,
                text=sequence.slot if lane == NO_LANE else first_lane + sequence.lane_slots[lane],
                position=batch.positions[number],
                token_id=vectors.get(token_id, token_id),
            )
            number += 1


def _pass(rows: list[_Row], *, num_silent: int = 0) -> Pass:
    return Pass(
        token_ids=[row.token_id for row in rows],
        positions=[row.position for row in rows],
        texts=[[row.text] for row in rows],
        num_silent=num_silent,
    )


def _starts(batch: StepBatch, rows: list[_Row]) -> dict[int, int]:
    starts: dict[int, int] = {}
    for row in rows:
        if batch.row_lanes[row.number] == NO_LANE:
            starts.setdefault(row.text, row.position)
    return starts


def _open_lanes(batch: StepBatch, last: Pass, rows: list[_Row]) -> None:
    """Copy and tag the cells of the lanes that start in the last pass, which has these rows."""
    base_rows: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if batch.row_lanes[row.number] == NO_LANE:
            base_rows.setdefault(row.text, []).append(index)
    for row in rows:
        if batch.token_ids[row.number] != START:
            continue
        sequence = _owner(batch, row.number)
        context_len = batch.context_lens[row.number]
        shared = [
            index for index in base_rows.get(sequence, ()) if last.positions[index] < context_len
        ]
        for index in shared:
            last.texts[index].append(row.text)
        end = last.positions[shared[0]] if shared else context_len
        last.copies.append(Copy(source=sequence, lane=row.text, end=end))


def _owner(batch: StepBatch, number: int) -> int:
    """Slot of the sequence that a row belongs to."""
    for sequence in batch.sequences:
        number -= sequence.num_rows
        if number < 0:
            return sequence.slot
    raise AssertionError("a row belongs to no sequence")
