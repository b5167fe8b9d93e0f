"""Tracks which sequence or lane owns which key/value block. Accounting only, no tensors.

Every sequence and every lane has a `BlockTable`. Only the `BlockManager` changes tables. Several
tables may share a block; the block is free again when the last of them releases it.

A block that is full of verified text can be published. It may then be shared by later tables, and
is never written to again. When it is free, it keeps its text until the block is needed.

Callers check `num_missing` against `num_free` before they call `grow`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Set

from qstar_infer.kv_cache.free_blocks import FreeBlocks
from qstar_infer.kv_cache.prefix_cache import BlockKey, PrefixCache


class BlockTable:
    """The blocks of one sequence or lane, in order. Only the `BlockManager` changes it.

    Attributes:
        num_published: number of blocks at the beginning that are published or found in the cache.
    """

    __slots__ = ("_blocks", "is_lane", "num_published")

    def __init__(self, *, is_lane: bool) -> None:
        self._blocks: list[int] = []
        self.is_lane = is_lane
        self.num_published = 0

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
        self._cache = PrefixCache()
        self._free = FreeBlocks(num_blocks, self._cache)
        self._num_references = [0] * num_blocks
        self._tables: set[BlockTable] = set()

    @property
    def num_free(self) -> int:
        """Number of blocks that no table holds, cached ones included."""
        return len(self._free)

    @property
    def cached(self) -> Set[int]:
        """The published blocks, free or held. They are never written to."""
        return self._cache.blocks

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

    def find_cached(self, keys: Sequence[BlockKey]) -> list[int]:
        """The published blocks of the longest beginning of a text with these keys."""
        return self._cache.find(keys)

    def num_free_besides(self, blocks: Sequence[int]) -> int:
        """Number of blocks that are still free when a new table shares these published blocks."""
        return self.num_free - sum(block in self._free.cached for block in blocks)

    def open_table(self, shared: Sequence[int] = (), *, is_lane: bool = False) -> BlockTable:
        """Create a table; `close_table` releases it.

        Args:
            shared: published blocks that it begins with.
            is_lane: whether it is that of a lane, and so short, and open for a few steps only.
        """
        table = BlockTable(is_lane=is_lane)
        for block in shared:
            assert block in self._cache, f"block {block} is shared but not published"
            if self._num_references[block] == 0:
                self._free.take_cached(block)
            self._num_references[block] += 1
        table._blocks.extend(shared)
        table.num_published = len(shared)
        self._tables.add(table)
        return table

    def publish(self, table: BlockTable, keys: Sequence[BlockKey]) -> None:
        """Publish the first blocks of a table, as many as there are keys.

        The caller never writes to them again. A text that another block holds already is not
        published twice.
        """
        for index in range(table.num_published, len(keys)):
            self._cache.add(table._blocks[index], keys[index])
            table.num_published = index + 1

    def grow(self, table: BlockTable, num_slots: int) -> None:
        """Extend a table to `num_slots` slots; the caller has checked that the blocks are free."""
        count = self.num_missing(table, num_slots)
        assert count <= self.num_free, f"{count} blocks needed, {self.num_free} free"
        empty = self._free.prepare(count)
        for num_wanted in range(count, 0, -1):
            last = table._blocks[-1] if table._blocks else None
            block = empty.take_last() if table.is_lane else empty.take(last, num_wanted=num_wanted)
            self._num_references[block] = 1
            table._blocks.append(block)

    def shrink(self, table: BlockTable, num_slots: int) -> None:
        """Release the blocks that the first `num_slots` slots do not need."""
        keep = self.blocks_for(num_slots)
        # The last block first: a later block is of no use without those before it.
        for block in reversed(table._blocks[keep:]):
            self._release(block)
        del table._blocks[keep:]
        table.num_published = min(table.num_published, keep)

    def close_table(self, table: BlockTable) -> None:
        """Release all blocks of a table. The table must not be used again."""
        assert table in self._tables, "a block table was closed twice"
        self.shrink(table, 0)
        self._tables.remove(table)

    def check_integrity(self) -> None:
        """Assert that every block is free, or referenced by as many tables as are counted."""
        held = Counter(block for table in self._tables for block in table)
        empty, cached = self._free.empty, self._free.cached
        free = {*empty, *cached}
        assert len(free) == len(empty) + len(cached), "a block is free twice"
        assert not held.keys() & free, "a block is free and held"
        for block, count in enumerate(self._num_references):
            assert count == held[block], f"block {block} has {count} references, {held[block]} held"
            assert count <= 1 or block in self._cache, f"block {block} is shared, not published"
            is_cached_and_free = count == 0 and block in self._cache
            assert is_cached_and_free == (block in cached), f"block {block} is wrongly queued"
        assert len(held) + len(free) == self.num_blocks, "blocks are missing"
        assert all(max(Counter(table).values(), default=1) == 1 for table in self._tables)
        self._cache.check_integrity()

    def _release(self, block: int) -> None:
        assert self._num_references[block] > 0, f"block {block} was released twice"
        self._num_references[block] -= 1
        if self._num_references[block] == 0:
            self._free.add(block)
