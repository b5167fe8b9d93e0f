"""Splitting a sequence with many lanes leaves each row the slots that it sees."""

import random

import pytest

from qstar_infer.attention.few_lanes import MANY_LANES, MOST_LANES, with_few_lanes
from qstar_infer.step import NO_LANE, SequenceRows, StepBatch

BLOCK_SIZE = 4


def draw_batch(draw: random.Random, lane_counts: list[int]) -> StepBatch:
    """Sequences with this many lanes, of 0 to 2 rows each, with rows of the text between them."""
    batch = StepBatch(block_size=BLOCK_SIZE)
    blocks = iter(range(10_000))
    for count in lane_counts:
        first = batch.num_rows
        table = [next(blocks) for _ in range(6)]
        for lane in range(count):
            for row_lane in [NO_LANE] * draw.randint(0, 1) + [lane] * draw.randint(1, 2):
                batch.token_ids.append(1)
                batch.context_lens.append(draw.randint(1, 6 * BLOCK_SIZE))
                batch.row_lanes.append(row_lane)
                batch.lane_lens.append(0 if row_lane == NO_LANE else draw.randint(1, BLOCK_SIZE))
        batch.sequences.append(
            SequenceRows(
                num_rows=batch.num_rows - first,
                block_table=table,
                lane_tables=[[next(blocks)] for _ in range(count)],
            )
        )
    return batch


def seen_slots(batch: StepBatch) -> list[list[int]]:
    """By definition (`step`): the pool slots that each row may attend to."""
    seen = []
    row = 0
    for seq in batch.sequences:
        for _ in range(seq.num_rows):
            slots = [slot for block in seq.block_table for slot in block_slots(block)]
            mine = slots[: batch.context_lens[row]]
            if batch.row_lanes[row] != NO_LANE:
                (block,) = seq.lane_tables[batch.row_lanes[row]]
                mine += block_slots(block)[: batch.lane_lens[row]]
            seen.append(mine)
            row += 1
    return seen


def block_slots(block: int) -> list[int]:
    return list(range(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE))


@pytest.mark.parametrize("seed", range(20))
def test_each_row_sees_the_same_slots(seed: int) -> None:
    draw = random.Random(seed)
    batch = draw_batch(draw, [draw.choice([1, MANY_LANES, MANY_LANES + 1, 50]) for _ in range(4)])
    split = with_few_lanes(batch)
    assert seen_slots(split) == seen_slots(batch)
    assert max(len(seq.lane_tables) for seq in split.sequences) <= MANY_LANES
    assert sum(seq.num_rows for seq in split.sequences) == batch.num_rows


def test_many_lanes_become_parts_of_a_few() -> None:
    batch = draw_batch(random.Random(1), [50, 3])
    counts = [len(seq.lane_tables) for seq in with_few_lanes(batch).sequences]
    assert counts == [MOST_LANES] * 6 + [2, 3]


def test_a_batch_without_many_lanes_is_left_alone() -> None:
    batch = draw_batch(random.Random(2), [MANY_LANES, 3])
    assert with_few_lanes(batch) is batch
