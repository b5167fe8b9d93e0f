"""Learns how long a step takes, by its number of rows, from the steps that the engine runs.

A step's time is a level, common to all numbers of rows, times a shape. The level follows what slows
all steps down at once, such as longer contexts or other processes. So what is known about numbers
of rows that have not occurred for a while stays of use.
"""

import bisect
import math
import statistics
from collections import deque

PRIOR_ROWS = 64
"""Before a measurement, a step with this many rows is expected to take twice as long as with none.
Optimistic for most machines, so that deep speculation is tried, and measured, first."""

_KEPT_SAMPLES = 15
_LEVEL_STEPS = 9
"""The level is the median of so many steps: it follows a change at once, but not an outlier."""


def _knots() -> list[int]:
    """1, 2, ... 16, then eight to each factor of two."""
    return [*range(1, 8), *(base * 2**k for k in range(14) for base in range(8, 16))]


class StepCost:
    """Seconds of a step by its number of rows: medians, fitted to be monotone."""

    def __init__(self) -> None:
        self._knots = _knots()
        self._samples: dict[int, deque[float]] = {}
        """By knot: the newest logarithms of (seconds / level / prior shape)."""
        self._levels: deque[float] = deque(maxlen=_LEVEL_STEPS)
        """The newest logarithms of (seconds / learned shape)."""
        self._seen: set[int] = set()
        self._curve: list[tuple[int, float]] | None = None

    def observe(self, num_rows: int, seconds: float) -> None:
        """Note a step that only decoded.

        The first step at each knot does not count: libraries prepare for its shape.
        """
        knot = self._nearest_knot(num_rows)
        if knot not in self._seen:
            self._seen.add(knot)
            return
        log_s = math.log(max(seconds, 1e-9)) - _log_prior(num_rows)
        samples = self._samples.setdefault(knot, deque(maxlen=_KEPT_SAMPLES))
        if samples:
            self._levels.append(log_s - statistics.median(samples))
        elif not self._levels:
            self._levels.append(log_s)
        samples.append(log_s - statistics.median(self._levels))
        self._curve = None

    def seconds(self, num_rows: float) -> float:
        """Expected seconds of a step. Until something is measured, only ratios mean anything."""
        if self._curve is None:
            self._curve = self._fit()
        curve = self._curve
        place = bisect.bisect_left(curve, (num_rows, -math.inf))
        low, high = curve[max(0, place - 1)], curve[min(place, len(curve) - 1)]
        if low[0] >= num_rows or high[0] <= num_rows:  # at a measured number, or outside of all
            near = high if high[0] <= num_rows else low
            return near[1] * math.exp(_log_prior(num_rows) - _log_prior(near[0]))
        share = (num_rows - low[0]) / (high[0] - low[0])
        return low[1] + share * (high[1] - low[1])

    def _fit(self) -> list[tuple[int, float]]:
        """Rows and seconds at the measured knots, ascending in both."""
        if not self._levels:
            return [(1, math.exp(_log_prior(1)))]
        level = statistics.median(self._levels)
        knots = sorted(self._samples)
        logs = [level + _log_prior(k) + statistics.median(self._samples[k]) for k in knots]
        weights = [len(self._samples[k]) for k in knots]
        return list(zip(knots, map(math.exp, monotone_fit(logs, weights)), strict=True))

    def _nearest_knot(self, num_rows: int) -> int:
        place = bisect.bisect_left(self._knots, num_rows)
        around = self._knots[max(0, place - 1) : place + 1] or self._knots[-1:]
        return min(around, key=lambda knot: abs(knot - num_rows))


def monotone_fit(values: list[float], weights: list[int]) -> list[float]:
    """The nearest non-decreasing values by weighted least squares (pool adjacent violators)."""
    pools: list[tuple[float, int, int]] = []  # mean, weight, number of values
    for value, weight in zip(values, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, total, count = pools.pop()
            both = total + pool[1]
            pool = ((mean * total + pool[0] * pool[1]) / both, both, count + pool[2])
        pools.append(pool)
    return [mean for mean, _, count in pools for _ in range(count)]


def _log_prior(num_rows: float) -> float:
    return math.log1p(num_rows / PRIOR_ROWS)
