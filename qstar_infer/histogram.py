"""Counts of values by size, cheap enough for every step of an engine. Plain data, no library."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramCounts:
    """What a histogram held at one moment."""

    bounds: tuple[float, ...] = ()
    """Upper bound of each bucket but the last, ascending; a bucket includes its bound."""
    counts: tuple[int, ...] = (0,)
    """Number of values in each bucket; the last one has no bound."""
    total: float = 0.0
    """Sum of the values."""

    @property
    def num_values(self) -> int:
        return sum(self.counts)


class Histogram:
    """Counts values by bucket. One thread adds; any thread may read."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """
        Args:
            bounds: upper bound of each bucket but the last, ascending.
        """
        self._bounds = tuple(bounds)
        assert sorted(set(self._bounds)) == list(self._bounds), "bounds must ascend"
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float, *, times: int = 1) -> None:
        """Count a value, as often as it occurred."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def read(self) -> HistogramCounts:
        """The counts so far."""
        return HistogramCounts(bounds=self._bounds, counts=tuple(self._counts), total=self._total)
