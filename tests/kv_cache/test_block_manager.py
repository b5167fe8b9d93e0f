"""Blocks are neither lost nor allocated twice, for any order of operations."""

import random

import pytest

from qstar_infer.kv_cache.block_manager import BlockManager, BlockTable

NUM_BLOCKS = 12
BLOCK_SIZE = 4


class Model:
    """A simple model of the block manager: a list of blocks for each open table."""

    def __init__(self) -> None:
        self.manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
        self.tables: dict[BlockTable, list[int]] = {}

    def open(self, *, is_lane: bool) -> None:
        self.tables[self.manager.open_table(is_lane=is_lane)] = []

    def grow(self, table: BlockTable, num_slots: int) -> None:
        blocks = self.tables[table]
        missing = max(0, -(-num_slots // BLOCK_SIZE) - len(blocks))
        assert self.manager.num_missing(table, num_slots) == missing
        if missing > self.manager.num_free:
            with pytest.raises(AssertionError, match="blocks needed"):
                self.manager.grow(table, num_slots)
            return
        free_before = set(range(NUM_BLOCKS)) - self.held
        self.manager.grow(table, num_slots)
        new = list(table)[len(blocks) :]
        assert len(new) == missing
        assert set(new) <= free_before
        blocks += new

    def shrink(self, table: BlockTable, num_slots: int) -> None:
        self.manager.shrink(table, num_slots)
        del self.tables[table][-(-num_slots // BLOCK_SIZE) :]

    def fork(self, table: BlockTable, num_slots: int) -> None:
        forked = self.manager.fork(table, num_slots)
        self.tables[forked] = self.tables[table][: num_slots // BLOCK_SIZE]

    def close(self, table: BlockTable) -> None:
        self.manager.close_table(table)
        del self.tables[table]

    @property
    def held(self) -> set[int]:
        return {block for blocks in self.tables.values() for block in blocks}

    def check(self) -> None:
        self.manager.check_integrity()
        assert {table: list(table) for table in self.tables} == self.tables
        assert self.manager.num_tables == len(self.tables)
        assert self.manager.num_free == NUM_BLOCKS - len(self.held)


@pytest.mark.parametrize("seed", range(20))
def test_random_operations_keep_the_accounting_right(seed: int) -> None:
    draw = random.Random(seed)
    model = Model()
    for _ in range(200):
        kind = draw.choice(["open", "grow", "grow", "shrink", "fork", "close"])
        if kind == "open" or not model.tables:
            model.open(is_lane=draw.random() < 0.5)
        else:
            table = draw.choice(list(model.tables))
            room = len(table) * BLOCK_SIZE
            if kind == "grow":
                model.grow(table, draw.randint(0, room + 3 * BLOCK_SIZE))
            elif kind == "close":
                model.close(table)
            else:
                operation = model.shrink if kind == "shrink" else model.fork
                operation(table, draw.randint(0, room))
        model.check()
    for table in list(model.tables):
        model.close(table)
    model.check()
    assert model.manager.num_free == NUM_BLOCKS


def filled(manager: BlockManager, num_slots: int) -> BlockTable:
    table = manager.open_table()
    manager.grow(table, num_slots)
    return table


def test_a_fork_shares_full_blocks_only() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = filled(manager, 10)  # two full blocks and one that is filled in part
    forked = manager.fork(table, 10)
    assert list(forked) == list(table)[:2]
    manager.grow(forked, 10)
    assert list(forked)[2] != list(table)[2]
    manager.check_integrity()


def test_a_shared_block_is_free_only_after_its_last_table() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = filled(manager, 8)
    forked = manager.fork(table, 8)
    manager.close_table(table)
    assert manager.num_free == NUM_BLOCKS - 2
    manager.close_table(forked)
    assert manager.num_free == NUM_BLOCKS


def test_closing_a_table_twice_asserts() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = filled(manager, 1)
    manager.close_table(table)
    with pytest.raises(AssertionError, match="closed twice"):
        manager.close_table(table)


def test_shrinking_keeps_the_block_of_the_last_slot() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = filled(manager, 12)
    before = list(table)
    manager.shrink(table, 5)
    assert list(table) == before[:2]


def test_a_slot_is_in_the_block_of_its_index() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    filled(manager, 1)
    table = filled(manager, 9)
    blocks = list(table)
    slots = [table.slot(index, BLOCK_SIZE) for index in range(9)]
    assert slots == [block * BLOCK_SIZE + index for block in blocks for index in range(4)][:9]


@pytest.mark.parametrize(("num_slots", "num_blocks"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_the_number_of_blocks_is_rounded_up(num_slots: int, num_blocks: int) -> None:
    assert BlockManager(NUM_BLOCKS, BLOCK_SIZE).blocks_for(num_slots) == num_blocks


@pytest.mark.parametrize("fault", ["lost", "free and held", "references"])
def test_the_integrity_check_detects_errors(fault: str) -> None:
    """The tests above rely on the check, so it must fail if the accounting is wrong."""
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = filled(manager, 8)
    if fault == "lost":
        manager._free.take_last()
    elif fault == "free and held":
        manager._free.add(list(table)[0])
    else:
        manager._num_references[list(table)[0]] += 1
    with pytest.raises(AssertionError):
        manager.check_integrity()
