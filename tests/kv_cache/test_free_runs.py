"""Blocks of a table are adjacent where there is room, and the set of free blocks is exact."""

import random
from itertools import pairwise

import pytest

from qstar_infer.kv_cache.block_manager import BlockManager
from qstar_infer.kv_cache.free_runs import FreeRuns


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_set_that_python_would_keep(seed: int) -> None:
    draw = random.Random(seed)
    runs, free, held = FreeRuns(40), set(range(40)), set[int]()
    for _ in range(400):
        if free and (not held or draw.random() < 0.55):
            after = draw.choice([None, *held])
            if draw.random() < 0.3:
                block = runs.take_last()
                assert block == max(free)
            else:
                block = runs.take(after, num_wanted=draw.randint(1, 5))
                is_next_free = after is not None and after + 1 in free
                assert block == after + 1 if after is not None and is_next_free else block in free
            free.remove(block)
            held.add(block)
        else:
            block = draw.choice(sorted(held))
            held.remove(block)
            free.add(block)
            runs.add(block)
        assert set(runs) == free
        assert len(runs) == len(free)


def test_the_heaps_stay_small() -> None:
    runs = FreeRuns(100)
    for _ in range(10_000):
        runs.add(runs.take_last())
    assert len(runs._last) + len(runs._longest) < 500


def test_decoding_sequences_stay_in_one_run_each() -> None:
    """Eight sequences grow in turn, while lanes open and close all the time."""
    manager = BlockManager(num_blocks=1_000, block_size=16)
    tables = [manager.open_table() for _ in range(8)]
    for length in range(100, 1_500):
        lanes = [manager.open_table(is_lane=True) for _ in range(16)]
        for lane in lanes:
            manager.grow(lane, 6)
        for table in tables:
            manager.grow(table, length)
        for lane in lanes:
            manager.close_table(lane)
    manager.check_integrity()
    for table in tables:
        assert all(after == before + 1 for before, after in pairwise(table))


def test_a_long_table_gets_the_longest_run_from_its_start() -> None:
    manager = BlockManager(num_blocks=20, block_size=1)
    first = manager.open_table()
    manager.grow(first, 2)
    second = manager.open_table()
    manager.grow(second, 18)
    assert list(second) == list(range(2, 20))
