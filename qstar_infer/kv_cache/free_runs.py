"""Free blocks as runs of adjacent numbers, so that a table's blocks can lie one after the other.

Attention reads a sequence in place where its blocks are adjacent. So a table grows into the block
after its last one. A new table starts in the middle of the longest run, where it and the table
before it have room to grow. Lanes live for a few steps and are packed at the end of the pool.
"""

import heapq
from collections.abc import Iterator


class FreeRuns:
    """A set of blocks. Each operation takes O(log n)."""

    def __init__(self, num_blocks: int) -> None:
        self._num_free = 0
        self._end_of: dict[int, int] = {}
        """By first block of a maximal run: the number after its last block."""
        self._start_of: dict[int, int] = {}
        # Both heaps also contain runs that have changed since; these are skipped.
        self._longest: list[tuple[int, int, int]] = []
        """Heap of `(-length, start, end)`."""
        self._last: list[tuple[int, int]] = []
        """Heap of `(-end, start)`."""
        self._put(0, num_blocks)

    def __len__(self) -> int:
        return self._num_free

    def __iter__(self) -> Iterator[int]:
        """The blocks, in no particular order."""
        for start, end in self._end_of.items():
            yield from range(start, end)

    def take(self, after: int | None, *, num_wanted: int) -> int:
        """Remove and return one block for a sequence.

        Args:
            after: last block of the sequence; None if it has no block yet.
            num_wanted: number of blocks that it is about to take, this one included.
        """
        if after is not None and after + 1 in self._end_of:
            return self._cut(after + 1, after + 1)
        while True:
            length, start, end = self._longest[0]
            if self._end_of.get(start) == end:
                break
            heapq.heappop(self._longest)
        room = max(0, -length - num_wanted) if start > 0 else 0
        return self._cut(start, start + room // 2)

    def take_last(self) -> int:
        """Remove and return the free block with the highest number."""
        while True:
            end, start = self._last[0]
            if self._end_of.get(start) == -end:
                return self._cut(start, -end - 1)
            heapq.heappop(self._last)

    def add(self, block: int) -> None:
        """Add a block that is not in the set."""
        start = self._start_of.get(block, block)
        end = self._end_of.get(block + 1, block + 1)
        self._remove(start, block)
        self._remove(block + 1, end)
        self._put(start, end)

    def _cut(self, start: int, block: int) -> int:
        """Take a block out of the run that begins at `start`."""
        end = self._end_of[start]
        self._remove(start, end)
        self._put(start, block)
        self._put(block + 1, end)
        return block

    def _put(self, start: int, end: int) -> None:
        if start == end:
            return
        self._num_free += end - start
        self._end_of[start] = end
        self._start_of[end] = start
        heapq.heappush(self._longest, (start - end, start, end))
        heapq.heappush(self._last, (-end, start))
        self._drop_stale()

    def _remove(self, start: int, end: int) -> None:
        if start == end:
            return
        self._num_free -= end - start
        del self._end_of[start]
        del self._start_of[end]

    def _drop_stale(self) -> None:
        """Rebuild the heaps when most of their entries are stale, which bounds their size."""
        if len(self._last) > 64 + 4 * len(self._end_of):
            self._last = [(-end, start) for start, end in self._end_of.items()]
            self._longest = [(start - end, start, end) for start, end in self._end_of.items()]
            heapq.heapify(self._last)
            heapq.heapify(self._longest)
