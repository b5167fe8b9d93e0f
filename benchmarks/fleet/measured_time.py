"""The time of a step on a machine that was measured: a table by rows, and three prices."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet.cost import StepSize

_Array = NDArray[np.floating[Any]]
_KNOTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_ROUNDS = 20
"""Of reweighting, so that the fit minimises absolute instead of squared relative errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTime:
    """Linear between the rows of the table and beyond its end; it never falls."""

    rows: tuple[int, ...]
    """Ascending, at least two."""
    ms: tuple[float, ...]
    """Time of a step with so many rows, without what follows."""
    logit_row_ms: float = 0.0
    row_context_ms: float = 0.0
    """For a slot that a row attends to."""

    def seconds(self, step: StepSize) -> float:
        place = 1
        while place < len(self.rows) - 1 and self.rows[place] < step.rows:
            place += 1
        low, high = self.rows[place - 1], self.rows[place]
        slope = (self.ms[place] - self.ms[place - 1]) / (high - low)
        table_ms = self.ms[place - 1] + slope * (step.rows - low)
        more_ms = self.logit_row_ms * step.logit_rows + self.row_context_ms * step.row_context
        return (table_ms + more_ms) / 1000

    def scaled(self, level: float) -> "MeasuredTime":
        """The times of a machine that takes so many times as long."""
        return MeasuredTime(
            rows=self.rows,
            ms=tuple(level * each for each in self.ms),
            logit_row_ms=level * self.logit_row_ms,
            row_context_ms=level * self.row_context_ms,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "MeasuredTime":
        """What `to_json` gave. Raises TypeError or KeyError for anything else."""
        lists = {"rows": tuple(values["rows"]), "ms": tuple(values["ms"])}
        return cls(**{**values, **lists})


def fit_time(steps: Sequence[tuple[StepSize, float]]) -> MeasuredTime:
    """The nearest `MeasuredTime` to measured steps, by the sum of absolute relative errors.

    All prices are at least 0, so more work never takes less time. Outliers count little: they are
    the work of other processes.

    Args:
        steps: sizes and seconds.

    Raises:
        ValueError: there are fewer than two numbers of rows.
    """
    most = max((size.rows for size, _ in steps), default=0)
    least = min((size.rows for size, _ in steps), default=0)
    if most == least:
        raise ValueError(f"steps of at least two sizes are needed, got only {most} rows")
    inner = [knot for knot in _KNOTS if least < knot < most]
    knots = [least, *inner, most]
    features = np.array([_features(size, knots) for size, _ in steps])
    ms = np.array([1000 * seconds for _, seconds in steps])
    prices = _non_negative_fit(features / ms[:, None], np.ones(len(ms)))
    widths = np.diff(knots)
    table = prices[0] + np.concatenate([[0.0], np.cumsum(prices[1 : len(knots)] * widths)])
    return MeasuredTime(
        rows=tuple(knots),
        ms=tuple(float(round(value, 4)) for value in table),
        logit_row_ms=float(prices[-2]),
        row_context_ms=float(prices[-1]),
    )


def _features(size: StepSize, knots: Sequence[int]) -> list[float]:
    """1, the rows within each interval of the table, and what else has a price."""
    ramps = [
        min(max(size.rows - low, 0), high - low)
        for low, high in zip(knots, knots[1:], strict=False)
    ]
    return [1, *ramps, size.logit_rows, size.row_context]


def _non_negative_fit(features: _Array, values: _Array) -> _Array:
    """Coefficients of at least 0 with small absolute errors.

    Negative ones are set to 0 one after the other, the one that lowers the result most first.
    """
    active = list(range(features.shape[1]))
    while True:
        found = _least_absolute(features[:, active], values)
        effects = found * np.abs(features[:, active]).mean(axis=0)
        if effects.min() >= 0:
            prices = np.zeros(features.shape[1])
            prices[active] = found
            return prices
        del active[int(effects.argmin())]


def _least_absolute(features: _Array, values: _Array) -> _Array:
    weights: _Array = np.ones(len(values))
    found: _Array = np.zeros(features.shape[1])
    for _ in range(_ROUNDS):
        found = np.linalg.lstsq(features * weights[:, None], values * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(features @ found - values), 1e-3))
    return found
