"""The blocks that no table holds, in the order in which they are used again."""


class FreeBlocks:
    """Free blocks: empty ones, and cached ones, which keep text that may be needed again.

    Empty blocks are used first, then the cached block that has been free for the longest time.
    """

    def __init__(self, num_blocks: int) -> None:
        self._empty = list(range(num_blocks - 1, -1, -1))
        self._cached: dict[int, None] = {}
        """As an ordered set, the block that became free first in front."""

    def __len__(self) -> int:
        return len(self._empty) + len(self._cached)

    @property
    def cached(self) -> set[int]:
        return set(self._cached)

    @property
    def empty(self) -> list[int]:
        return list(self._empty)

    def is_cached(self, block: int) -> bool:
        """Whether this is a free block that keeps text."""
        return block in self._cached

    def take(self) -> int:
        """Remove and return the next block to use."""
        if self._empty:
            return self._empty.pop()
        block = next(iter(self._cached))
        del self._cached[block]
        return block

    def take_cached(self, block: int) -> None:
        """Remove a cached block, because its text is needed again."""
        del self._cached[block]

    def add(self, block: int, *, is_cached: bool) -> None:
        if is_cached:
            self._cached[block] = None
        else:
            self._empty.append(block)
