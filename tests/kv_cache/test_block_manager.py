"""Blocks are neither lost nor allocated twice, for any order of operations."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qstar_infer.kv_cache.block_manager import BlockManager, BlockTable
from qstar_infer.kv_cache.prefix_cache import TextKeys

NUM_BLOCKS = 12
BLOCK_SIZE = 4
TEXT = [0, 0, 0, 0, 1, 1, 1, 1]
"""Two blocks of text, as long as no other is given."""


class Model:
    """A text in the blocks of one table, and its keys."""

    def __init__(self, table: BlockTable, text: list[int]) -> None:
        self.table = table
        self.text = text
        self.keys = TextKeys()
        self.num_published = 0


class Blocks(RuleBasedStateMachine):
    """Sequences that write their texts into blocks, and read them back.

    `memory` is what a kernel would have written; the manager knows nothing of it. Texts have few
    different tokens, so that many begin alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
        self.memory: dict[int, list[int]] = {}
        self.models: list[Model] = []

    def write(self, model: Model, begin: int) -> None:
        """Write the text from an index on; no slot of a published block may be written to."""
        for index in range(begin, len(model.text)):
            slot = model.table.slot(index, BLOCK_SIZE)
            block = slot // BLOCK_SIZE
            assert block not in self.manager.cached, "a published block is overwritten"
            assert self.manager._num_references[block] == 1, "a shared block is overwritten"
            self.memory.setdefault(block, [-1] * BLOCK_SIZE)[slot % BLOCK_SIZE] = model.text[index]

    @rule(text=st.lists(st.integers(0, 1), min_size=1, max_size=3 * BLOCK_SIZE), salt=st.booleans())
    def open(self, text: list[int], salt: bool) -> None:
        keys = TextKeys("other" if salt else "")
        shared = self.manager.find_cached(keys.of(text, BLOCK_SIZE))
        needed = -(-len(text) // BLOCK_SIZE) - len(shared)
        held = {block for model in self.models for block in model.table}
        room = NUM_BLOCKS - len(held | set(shared))
        assert self.manager.num_free_besides(shared) == room
        if needed > room:
            return
        model = Model(self.manager.open_table(shared), list(text))
        model.keys = keys
        model.num_published = len(shared)
        assert self.manager.num_missing(model.table, len(text)) == needed
        self.manager.grow(model.table, len(text))
        self.write(model, len(shared) * BLOCK_SIZE)
        self.models.append(model)

    @precondition(lambda self: self.models)
    @rule(data=st.data(), more=st.lists(st.integers(0, 1), max_size=2 * BLOCK_SIZE))
    def grow(self, data: st.DataObject, more: list[int]) -> None:
        model = data.draw(st.sampled_from(self.models))
        before = len(model.text)
        missing = self.manager.num_missing(model.table, before + len(more))
        if missing > self.manager.num_free:
            with pytest.raises(AssertionError, match="blocks needed"):
                self.manager.grow(model.table, before + len(more))
            return
        self.manager.grow(model.table, before + len(more))
        model.text += more
        self.write(model, before)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        model = data.draw(st.sampled_from(self.models))
        keys = model.keys.of(model.text, BLOCK_SIZE)
        count = data.draw(st.integers(model.num_published, len(keys)))
        self.manager.publish(model.table, keys[:count])
        model.num_published = count

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        """Drafts are forgotten, but never published text: it is verified."""
        model = data.draw(st.sampled_from(self.models))
        known = len(model.keys.of(model.text[: model.num_published * BLOCK_SIZE], BLOCK_SIZE))
        least = max(model.num_published, known) * BLOCK_SIZE
        if least > len(model.text):
            return  # its keys are taken already
        end = data.draw(st.integers(least, len(model.text)))
        self.manager.shrink(model.table, end)
        del model.text[end:]

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        model = data.draw(st.sampled_from(self.models))
        self.models.remove(model)
        self.manager.close_table(model.table)

    @invariant()
    def every_text_is_where_its_table_says(self) -> None:
        self.manager.check_integrity()
        for model in self.models:
            slots = [model.table.slot(index, BLOCK_SIZE) for index in range(len(model.text))]
            read = [self.memory[slot // BLOCK_SIZE][slot % BLOCK_SIZE] for slot in slots]
            assert read == model.text

    @invariant()
    def every_block_is_held_or_free(self) -> None:
        held = {block for model in self.models for block in model.table}
        assert self.manager.num_free == NUM_BLOCKS - len(held)
        assert self.manager.num_tables == len(self.models)

    def teardown(self) -> None:
        while self.models:
            self.manager.close_table(self.models.pop().table)
        self.manager.check_integrity()
        assert self.manager.num_free == NUM_BLOCKS


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def keys_of(text: list[int], salt: str = "") -> list[bytes]:
    return list(TextKeys(salt).of(text, BLOCK_SIZE))


def filled(manager: BlockManager, num_slots: int) -> BlockTable:
    table = manager.open_table()
    manager.grow(table, num_slots)
    return table


def published(manager: BlockManager, text: list[int], salt: str = "") -> BlockTable:
    table = filled(manager, len(text))
    manager.publish(table, keys_of(text, salt))
    return table


def test_only_full_blocks_have_keys() -> None:
    assert [len(keys_of([0] * length)) for length in (0, 3, 4, 7, 8)] == [0, 0, 1, 1, 2]


def test_the_key_of_a_block_depends_on_all_that_comes_before_it() -> None:
    same_block = [keys_of([token] * 4 + [9] * 4)[1] for token in (1, 2)]
    assert same_block[0] != same_block[1]
    assert keys_of(TEXT, "a")[0] != keys_of(TEXT, "b")[0] != keys_of(TEXT)[0]


def test_keys_of_a_growing_text_are_those_of_the_whole() -> None:
    text = list(range(21))
    growing = TextKeys("salt")
    for end in (1, 4, 5, 13, 21):
        got = list(growing.of(text[:end], BLOCK_SIZE))
        assert got == keys_of(text[:end], "salt")


def test_a_published_text_is_found_and_shared() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = published(manager, [*TEXT, 2, 2])
    found = manager.find_cached(keys_of([*TEXT, 3, 3, 3, 3]))
    assert found == list(table)[:2]
    sharing = manager.open_table(found)
    manager.grow(sharing, 10)
    assert list(sharing)[:2] == list(table)[:2]
    assert list(sharing)[2] != list(table)[2]
    assert manager.num_free == NUM_BLOCKS - 4
    manager.check_integrity()


def test_nothing_is_found_under_another_salt() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    published(manager, TEXT, "a")
    assert manager.find_cached(keys_of(TEXT, "b")) == manager.find_cached(keys_of(TEXT)) == []


def test_a_shared_block_is_free_only_after_its_last_table() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = published(manager, TEXT)
    sharing = manager.open_table(list(table))
    manager.close_table(table)
    assert manager.num_free == NUM_BLOCKS - 2
    manager.close_table(sharing)
    assert manager.num_free == NUM_BLOCKS


def test_a_free_block_keeps_its_text_until_it_is_needed() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    manager.close_table(published(manager, TEXT))
    assert (manager.num_free, len(manager.cached)) == (NUM_BLOCKS, 2)
    filled(manager, (NUM_BLOCKS - 2) * BLOCK_SIZE)  # empty blocks go first
    assert len(manager.find_cached(keys_of(TEXT))) == 2
    filled(manager, 1)  # then the end of the text, and not its beginning
    assert len(manager.find_cached(keys_of(TEXT))) == 1
    filled(manager, 1)
    assert manager.find_cached(keys_of(TEXT)) == []
    assert (manager.num_free, len(manager.cached)) == (0, 0)


def test_the_text_that_was_not_used_for_longest_goes_first() -> None:
    manager = BlockManager(3, BLOCK_SIZE)
    texts = [[token] * BLOCK_SIZE for token in range(3)]
    for text in texts:
        manager.close_table(published(manager, text))
    manager.close_table(manager.open_table(manager.find_cached(keys_of(texts[0]))))
    filled(manager, 1)
    assert [len(manager.find_cached(keys_of(text))) for text in texts] == [1, 0, 1]


def test_the_same_text_is_published_once() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    first, second = published(manager, TEXT), published(manager, TEXT)
    assert len(manager.cached) == 2
    manager.close_table(first)
    manager.close_table(second)
    manager.check_integrity()
    assert (manager.num_free, len(manager.cached)) == (NUM_BLOCKS, 2)


def test_a_block_that_is_not_published_cannot_be_shared() -> None:
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = filled(manager, 4)
    with pytest.raises(AssertionError, match="not published"):
        manager.open_table(list(table))


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


@pytest.mark.parametrize("fault", ["lost", "free and held", "references", "cache"])
def test_the_integrity_check_detects_errors(fault: str) -> None:
    """The tests above rely on the check, so it must fail if the accounting is wrong."""
    manager = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    table = published(manager, TEXT)
    if fault == "lost":
        manager._free.prepare(1).take_last()
    elif fault == "free and held":
        manager._free.add(list(table)[0])
    elif fault == "references":
        manager._num_references[list(table)[0]] += 1
    else:
        manager._cache._key_of.popitem()
    with pytest.raises(AssertionError):
        manager.check_integrity()


def test_tables_that_grow_into_old_texts_stay_in_few_runs() -> None:
    """In turn, one block at a time, as in decoding, where only cached blocks are free."""
    manager = BlockManager(1600, BLOCK_SIZE)
    for token in range(20):
        manager.close_table(published(manager, [token] * 80 * BLOCK_SIZE))
    assert len(manager.cached) == 1600
    tables = [manager.open_table() for _ in range(4)]
    for num_blocks in range(1, 61):
        for table in tables:
            manager.grow(table, num_blocks * BLOCK_SIZE)
    for table in tables:
        assert sum(after != before + 1 for before, after in pairwise(table)) <= 6
    manager.check_integrity()
