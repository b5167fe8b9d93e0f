"""The blocks that no table holds: empty ones, and cached ones, which keep text that may be needed.

Empty blocks are used first. When too few are left, the text that was not used for the longest time
is dropped. In a large pool some more is dropped at once: the blocks of one text lie side by side,
and together they are a run that a new table can grow into.
"""

from collections.abc import Set
from itertools import islice

from qstar_infer.kv_cache.free_runs import FreeRuns
from qstar_infer.kv_cache.prefix_cache import PrefixCache

_DROPPED_SHARE = 8
"""One block of so many is dropped at once, at least."""


class FreeBlocks:
    """Free blocks, and the order in which they are used again."""

    def __init__(self, num_blocks: int, cache: PrefixCache) -> None:
        """
        Args:
            cache: what the blocks hold, if it may be needed; text that is dropped leaves it.
        """
        self._cache = cache
        self._num_dropped_at_once = num_blocks // _DROPPED_SHARE
        self._empty = FreeRuns(num_blocks)
        self._cached: dict[int, None] = {}
        """As an ordered set, the block that became free first in front."""

    def __len__(self) -> int:
        return len(self._empty) + len(self._cached)

    @property
    def cached(self) -> Set[int]:
        return self._cached.keys()

    @property
    def empty(self) -> list[int]:
        return list(self._empty)

    def prepare(self, count: int) -> FreeRuns:
        """The empty blocks, of which there are at least `count` now."""
        num_missing = count - len(self._empty)
        if num_missing > 0:
            num_dropped = max(num_missing, self._num_dropped_at_once)
            for block in list(islice(self._cached, num_dropped)):
                del self._cached[block]
                self._cache.forget(block)
                self._empty.add(block)
        return self._empty

    def take_cached(self, block: int) -> None:
        """Remove a cached block, because its text is needed again."""
        del self._cached[block]

    def add(self, block: int) -> None:
        """Add a block that a table has released."""
        if block in self._cache:
            self._cached[block] = None
        else:
            self._empty.add(block)
