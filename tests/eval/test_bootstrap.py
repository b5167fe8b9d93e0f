"""Intervals: a closed form, how often they cover the truth, pairing."""

import numpy as np
import pytest

from qstar_eval.bootstrap import Bootstrap, Estimate


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    """Resampled means have standard deviation s / sqrt(n), s with n below the line."""
    values = np.random.default_rng(0).exponential(2.0, size=2000)
    estimate = Bootstrap(num_resamples=20_000).mean(values)
    error = values.std() / np.sqrt(len(values))
    assert estimate.value == pytest.approx(values.mean())
    # Sampling noise of a 2.5 % quantile of 20,000 draws: about 0.02 standard errors.
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """0.95 less what a percentile interval loses at n = 100; standard deviation 0.01."""
    generator = np.random.default_rng(1)
    bootstrap = Bootstrap(num_resamples=500)
    samples = [generator.normal(3.0, 2.0, size=100) for _ in range(500)]
    estimates = [bootstrap.mean(sample) for sample in samples]
    covered = np.mean([estimate.low <= 3.0 <= estimate.high for estimate in estimates])
    assert 0.92 < covered < 0.97


def test_a_ratio_weighs_examples_by_their_denominators() -> None:
    """Document losses of 1 and 3 nats for each token, of 9 tokens and 1."""
    estimate = Bootstrap().ratio([9.0, 3.0], [9, 1])
    assert estimate == Estimate(value=1.2, low=1.0, high=3.0)


def test_a_ratio_leaves_out_resamples_without_a_denominator() -> None:
    assert Bootstrap().ratio([2.0, 0.0], [1, 0]) == Estimate(value=2.0, low=2.0, high=2.0)


def test_the_same_numbers_give_the_same_interval() -> None:
    values = np.random.default_rng(4).normal(size=30)
    assert Bootstrap(seed=3).mean(values) == Bootstrap(seed=3).mean(values)
    assert Bootstrap(seed=3).mean(values) != Bootstrap(seed=4).mean(values)


def test_a_single_example_has_no_width() -> None:
    assert Bootstrap().mean([0.25]) == Estimate(value=0.25, low=0.25, high=0.25)


def test_a_share_of_none_or_of_all_is_not_certain() -> None:
    """0 right of 5 was printed as exactly 0. Wilson's interval for it ends at 0.434."""
    none, everyone = Bootstrap().share([0.0] * 5), Bootstrap().share([1.0] * 5)
    assert (none.value, none.low, none.high) == pytest.approx((0.0, 0.0, 0.4345), abs=1e-4)
    assert (everyone.value, everyone.low, everyone.high) == pytest.approx((1, 0.5655, 1), abs=1e-4)
    assert Bootstrap().share([0.0, 1.0, 1.0]) == Bootstrap().mean([0.0, 1.0, 1.0])
