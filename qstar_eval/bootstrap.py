"""Estimates with 95 % percentile intervals, by resampling examples with replacement."""

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
    """Resamples examples; figures over equally many examples share their resamples.

    The interval of a single example is its value.
    """

    num_resamples: int = 1000
    seed: int = 0

    def mean(self, values: ArrayLike) -> Estimate:
        """Mean of `[examples]`."""
        array = _floats(values)
        return self.ratio(array, np.ones_like(array))

    def share(self, values: ArrayLike) -> Estimate:
        """Mean of `[examples]` that are each 0 or 1.

        If all are equal, so is every resample, though another example might differ. The interval
        is then Wilson's (1927), with the normal quantile 1.96.
        """
        array = _floats(values)
        if array.min() < array.max():
            return self.mean(array)
        width = _Z**2 / (len(array) + _Z**2)
        low, high = (0.0, width) if array[0] == 0 else (1 - width, 1.0)
        return Estimate(value=float(array[0]), low=low, high=high)

    def ratio(self, numerators: ArrayLike, denominators: ArrayLike) -> Estimate:
        """Sum of numerators over sum of denominators, such as the loss per token by document.

        Args:
            numerators, denominators: `[examples]`. The denominators' sum must be positive;
                resamples in which it is 0 are dropped.
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
    assert array.ndim == 1, "one number for each example"
    assert len(array) > 0, "no examples"
    return array


def _ratios(sums: Floats) -> Floats:
    """`[..., 2]` to `[...]`; NaN where the denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios: Floats = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)
    return ratios


@lru_cache(maxsize=2)
def _counts(num_examples: int, num_resamples: int, seed: int) -> Floats:
    """How often each resample holds each example: `[resamples, examples]`."""
    generator = np.random.default_rng(seed)
    chances = np.full(num_examples, 1 / num_examples)
    return generator.multinomial(num_examples, chances, size=num_resamples).astype(np.float64)
