"""Splits sequences with many lanes, as prompt scoring has, for attention that gathers keys.

A group's rows are computed against the slots of all of its lanes, and a mask hides those of other
lanes: with 64 lanes of one block each, 1,024 slots for the 6 that a row sees. So the lanes are
dealt out to parts that attend as sequences of their own and share the blocks of the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from qstar_infer.step import NO_LANE, SequenceRows, StepBatch

MANY_LANES = 16
"""Most lanes of a sequence that is left whole. Decoding rarely has more, and has few rows: there it
costs more to gather the text twice."""
MOST_LANES = 8
"""Most lanes of a part. With fewer the text is gathered more often, with more each row is computed
against more slots that it does not see."""


def with_few_lanes(batch: StepBatch) -> StepBatch:
    """The same rows, with at most `MOST_LANES` lanes in each part of a sequence with many.

    The sequences of the result are only for attention: several may belong to one completion.
    """
    if all(len(seq.lane_tables) <= MANY_LANES for seq in batch.sequences):
        return batch
    split = replace(batch, sequences=[], row_lanes=list(batch.row_lanes))
    first = 0
    for seq in batch.sequences:
        rows = range(first, first + seq.num_rows)
        first = rows.stop
        if len(seq.lane_tables) <= MANY_LANES:
            split.sequences.append(seq)
        else:
            split.sequences += [_part(split, seq, part) for part in _parts(rows, batch.row_lanes)]
    return split


def _parts(rows: range, row_lanes: Sequence[int]) -> Iterator[range]:
    """Consecutive rows of at most `MOST_LANES` lanes. A lane's rows are adjacent."""
    start = rows.start
    lanes: set[int] = set()
    for row in rows:
        lane = row_lanes[row]
        if lane != NO_LANE and lane not in lanes and len(lanes) == MOST_LANES:
            yield range(start, row)
            start = row
            lanes.clear()
        lanes |= {lane} - {NO_LANE}
    yield range(start, rows.stop)


def _part(split: StepBatch, seq: SequenceRows, rows: range) -> SequenceRows:
    """The sequence's share in some of its rows; renumbers their lanes in `split`."""
    lanes = sorted({split.row_lanes[row] for row in rows} - {NO_LANE})
    numbers = {lane: number for number, lane in enumerate(lanes)} | {NO_LANE: NO_LANE}
    for row in rows:
        split.row_lanes[row] = numbers[split.row_lanes[row]]
    num_tokens = max(split.context_lens[row] for row in rows)
    return replace(
        seq,
        num_rows=len(rows),
        block_table=seq.block_table[: -(-num_tokens // split.block_size)],
        lane_tables=[seq.lane_tables[lane] for lane in lanes],
    )
