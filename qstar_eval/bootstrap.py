"""Percentile intervals by bootstrap: units are drawn again with replacement."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

COVERAGE = 0.95
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Resamples units, the same ones for every figure over as many units.

    With a single unit there is nothing to resample: the interval is the value.
    """

    num_resamples: int = 1000
    seed: int = 0

    def mean(self, values: ArrayLike) -> Estimate:
        """Mean of `[units]`."""
        array = _floats(values)
        return self.ratio(array, np.ones_like(array))

    def share(self, is_so: ArrayLike) -> Estimate:
        """Share of `[units]` that are 1; the others are 0.

        Where all are the same, no resample differs from them, though another unit might: the
        interval is then Wilson's (1927), of the normal quantile 1.96.
        """
        array = _floats(is_so)
        if array.min() < array.max():
            return self.mean(array)
        width = _Z**2 / (len(array) + _Z**2)
        low, high = (0.0, width) if array[0] == 0 else (1 - width, 1.0)
        return Estimate(value=float(array[0]), low=low, high=high)

    def ratio(self, numerators: ArrayLike, denominators: ArrayLike) -> Estimate:
        """Sum of numerators over sum of denominators: a loss for each token, by document.

        Args:
            numerators, denominators: `[units]`; the denominators' sum must be positive. Resamples
                in which it is 0 are left out.
        """
        pairs = np.stack([_floats(numerators), _floats(denominators)], axis=1)
        assert pairs[:, 1].sum() > 0, "the denominators sum to 0"
        value = _ratios(pairs.sum(axis=0))
        drawn = _ratios(_counts(len(pairs), self.num_resamples, self.seed) @ pairs)
        tail = 50 * (1 - COVERAGE)
        low, high = np.percentile(drawn[np.isfinite(drawn)], [tail, 100 - tail])
        return Estimate(value=float(value), low=float(low), high=float(high))


def _floats(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    assert array.ndim == 1, "values of units are one number each"
    assert len(array) > 0, "no units"
    return array


def _ratios(sums: Floats) -> Floats:
    """`[..., 2]` to `[...]`; NaN where the denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios: Floats = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)
    return ratios


@lru_cache(maxsize=2)
def _counts(num_units: int, num_resamples: int, seed: int) -> Floats:
    """How often each resample holds each unit: `[resamples, units]`."""
    generator = np.random.default_rng(seed)
    chances = np.full(num_units, 1 / num_units)
    return generator.multinomial(num_units, chances, size=num_resamples).astype(np.float64)
