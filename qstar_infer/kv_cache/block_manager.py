"""Tracks which sequence or lane owns which key/value block. Accounting only, no tensors.

Every sequence and every lane has a `BlockTable`. Only the `BlockManager` changes tables. Several
tables may share a block; the block is free again when the last of them releases it.

Callers check `num_missing` against `num_free` before they call `grow`.
"""

from collections import Counter
from collections.abc import Iterator

from qstar_infer.kv_cache.free_runs import FreeRuns


class BlockTable:
    """The blocks of one sequence or lane, in order. Only the `BlockManager` changes it."""

    __slots__ = ("_blocks", "is_lane")

    def __init__(self, *, is_lane: bool) -> None:
        self._blocks: list[int] = []
        self.is_lane = is_lane

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[int]:
        return iter(self._blocks)

    def slot(self, index: int, block_size: int) -> int:
        """The pool slot of token `index`."""
        return self._blocks[index // block_size] * block_size + index % block_size


class BlockManager:
    """Allocates blocks and counts their references.

    Attributes:
        num_blocks: number of blocks; their ids are `[0, num_blocks)`.
        block_size: slots per block.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free = FreeRuns(num_blocks)
        self._num_references = [0] * num_blocks
        self._tables: set[BlockTable] = set()

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_tables(self) -> int:
        """Number of open tables."""
        return len(self._tables)

    def blocks_for(self, num_slots: int) -> int:
        """Number of blocks needed for this many slots."""
        return -(-num_slots // self.block_size)

    def num_missing(self, table: BlockTable, num_slots: int) -> int:
        """Number of blocks that `grow` would allocate."""
        return max(0, self.blocks_for(num_slots) - len(table))

    def open_table(self, *, is_lane: bool = False) -> BlockTable:
        """Create an empty table; `close_table` releases it.

        Args:
            is_lane: whether it is that of a lane, and so short, and open for a few steps only.
        """
        table = BlockTable(is_lane=is_lane)
        self._tables.add(table)
        return table

    def grow(self, table: BlockTable, num_slots: int) -> None:
        """Extend a table to `num_slots` slots; the caller has checked that the blocks are free."""
        count = self.num_missing(table, num_slots)
        assert count <= self.num_free, f"{count} blocks needed, {self.num_free} free"
        for num_wanted in range(count, 0, -1):
            block = self._take(table, num_wanted)
            self._num_references[block] = 1
            table._blocks.append(block)

    def shrink(self, table: BlockTable, num_slots: int) -> None:
        """Release the blocks that the first `num_slots` slots do not need."""
        keep = self.blocks_for(num_slots)
        for block in reversed(table._blocks[keep:]):
            self._release(block)
        del table._blocks[keep:]

    def fork(self, table: BlockTable, num_slots: int) -> BlockTable:
        """A new table that shares the blocks which the first `num_slots` slots fill completely.

        A partly filled block is not shared, because its owner still writes to it.
        """
        forked = self.open_table()
        for block in table._blocks[: num_slots // self.block_size]:
            self._num_references[block] += 1
            forked._blocks.append(block)
        return forked

    def close_table(self, table: BlockTable) -> None:
        """Release all blocks of a table. The table must not be used again."""
        assert table in self._tables, "a block table was closed twice"
        self.shrink(table, 0)
        self._tables.remove(table)

    def check_integrity(self) -> None:
        """Assert that every block is free, or referenced by as many tables as are counted."""
        held = Counter(block for table in self._tables for block in table)
        free = set(self._free)
        assert len(free) == len(self._free), "a block is free twice"
        assert not held.keys() & free, "a block is free and held"
        for block, count in enumerate(self._num_references):
            assert count == held[block], f"block {block} has {count} references, {held[block]} held"
        assert len(held) + len(self._free) == self.num_blocks, "blocks are missing"
        assert all(max(Counter(table).values(), default=1) == 1 for table in self._tables)

    def _take(self, table: BlockTable, num_wanted: int) -> int:
        if table.is_lane:
            return self._free.take_last()
        last = table._blocks[-1] if table._blocks else None
        return self._free.take(after=last, num_wanted=num_wanted)

    def _release(self, block: int) -> None:
        assert self._num_references[block] > 0, f"block {block} was released twice"
        self._num_references[block] -= 1
        if self._num_references[block] == 0:
            self._free.add(block)
