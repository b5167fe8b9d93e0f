"""Learning the time of a step by its number of rows."""

import random

import pytest

from qstar_infer.wavefront.step_cost import PRIOR_ROWS, StepCost, monotone_fit


def linear(num_rows: float) -> float:
    return 0.020 + 0.001 * num_rows


def learn(cost: StepCost, rows: list[int], draw: random.Random, *, times: int = 30) -> None:
    """Observe each number of rows, with 5 % noise and one step in ten taking five times as long."""
    for _ in range(times):
        for num_rows in rows:
            outlier = 5 if draw.random() < 0.1 else 1
            cost.observe(num_rows, linear(num_rows) * draw.gauss(1, 0.05) * outlier)


def test_it_learns_a_line_in_spite_of_noise_and_outliers() -> None:
    cost = StepCost()
    learn(cost, [1, 2, 3, 5, 8, 9, 20, 33, 70, 144], random.Random(0))
    for num_rows in (1, 2, 4, 7, 9, 15, 28, 50, 100, 140):
        assert cost.seconds(num_rows) == pytest.approx(linear(num_rows), rel=0.12), num_rows


def test_the_fit_never_falls() -> None:
    cost = StepCost()
    learn(cost, list(range(1, 40)), random.Random(1), times=4)
    seconds = [cost.seconds(num_rows / 2) for num_rows in range(1, 120)]
    assert seconds == sorted(seconds)


def test_before_a_measurement_the_prior_decides() -> None:
    cost = StepCost()
    assert cost.seconds(PRIOR_ROWS) / cost.seconds(0) == pytest.approx(2)
    cost.observe(4, 9.0)  # the first step of a shape
    assert cost.seconds(PRIOR_ROWS) / cost.seconds(0) == pytest.approx(2)


def test_the_prior_continues_what_is_measured() -> None:
    cost = StepCost()
    for _ in range(3):
        cost.observe(PRIOR_ROWS, 2.0)
    assert cost.seconds(PRIOR_ROWS) == pytest.approx(2.0)
    assert cost.seconds(3 * PRIOR_ROWS) == pytest.approx(4.0)
    assert cost.seconds(0) == pytest.approx(1.0)


def test_the_first_step_of_a_shape_does_not_count() -> None:
    cost = StepCost()
    cost.observe(5, 100.0)
    for _ in range(3):
        cost.observe(5, 1.0)
    assert cost.seconds(5) == pytest.approx(1.0)


def test_a_slower_machine_is_noticed_at_numbers_of_rows_that_do_not_occur() -> None:
    """For example longer contexts: what was learned about 30 rows holds on at the new level."""
    cost, draw = StepCost(), random.Random(2)
    learn(cost, [2, 8, 30], draw)
    before = cost.seconds(30)
    for _ in range(80):
        cost.observe(8, 2 * linear(8) * draw.gauss(1, 0.05))
    assert cost.seconds(8) == pytest.approx(2 * linear(8), rel=0.1)
    assert cost.seconds(30) == pytest.approx(2 * before, rel=0.15)


def test_one_very_slow_step_changes_little() -> None:
    cost = StepCost()
    learn(cost, [2, 8], random.Random(3))
    before = cost.seconds(2), cost.seconds(8)
    cost.observe(8, 60.0)
    assert (cost.seconds(2), cost.seconds(8)) == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize(
    ("values", "weights", "fitted"),
    [
        ([], [], []),
        ([1, 2, 3], [1, 1, 1], [1, 2, 3]),
        ([1, 3, 2], [1, 1, 1], [1, 2.5, 2.5]),
        ([1, 3, 2], [1, 1, 3], [1, 2.25, 2.25]),
        ([3, 2, 1], [1, 1, 1], [2, 2, 2]),
        ([5, 1, 6, 2], [1, 1, 1, 1], [3, 3, 4, 4]),
    ],
)
def test_monotone_fit(values: list[float], weights: list[int], fitted: list[float]) -> None:
    assert monotone_fit(values, weights) == pytest.approx(fitted)
