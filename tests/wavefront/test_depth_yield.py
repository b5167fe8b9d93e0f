"""Tokens and rows per pass of a depth, compared with simulations."""

import random

import pytest

from qstar_infer.wavefront.depth_yield import deepenings, depth_yield

CASES = [
    (1, 0, 0.9),
    (1, 1, 0.5),
    (4, 0, 0.9),
    (4, 1, 0.8),
    (4, 2, 0.97),
    (4, 4, 0.97),
    (4, 4, 0.0),
    (8, 3, 0.6),
    (8, 8, 0.3),
    (8, 7, 0.95),
    (16, 10, 0.9),
]


def simulate(n: int, depth: int, agreement: float, num_passes: int = 20_000) -> tuple[float, float]:
    """Tokens and rows per pass, pass by pass, lane by lane."""
    draw = random.Random(0)
    ages: list[int] = []  # passes since the anchor was fed, oldest lane first
    num_tokens = num_rows = 0
    for _ in range(num_passes):
        if len(ages) <= depth:
            ages.append(0)
        # Anchor and start; thought tokens; the last one and the end vector.
        num_rows += sum(2 if age in (0, n) else 1 for age in ages)
        ages = [age + 1 for age in ages]
        if ages[0] > n:
            num_tokens += 1
            ages = ages[1:] if draw.random() < agreement else []
    return num_tokens / num_passes, num_rows / num_passes


@pytest.mark.parametrize(("n", "depth", "agreement"), CASES)
def test_it_is_that_of_a_simulation(n: int, depth: int, agreement: float) -> None:
    """The simulated means have a relative standard error below 1.5 %."""
    found = depth_yield(n, depth, agreement)
    tokens, rows = simulate(n, depth, agreement)
    assert found.tokens_per_pass == pytest.approx(tokens, rel=0.04)
    assert found.rows_per_pass == pytest.approx(rows, rel=0.03)


@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("n", [1, 4, 16])
def test_the_extremes_are_known(n: int, agreement: float) -> None:
    """Waiting takes n + 1 passes a token; full depth 1 + (1 - agreement) n."""
    assert depth_yield(n, 0, agreement).tokens_per_pass == pytest.approx(1 / (n + 1))
    assert depth_yield(n, 0, agreement).rows_per_pass == pytest.approx((n + 3) / (n + 1))
    full = depth_yield(n, n, agreement)
    assert full.tokens_per_pass == pytest.approx(1 / (1 + (1 - agreement) * n), rel=0.02)


@pytest.mark.parametrize("agreement", [0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("n", [0, 1, 4, 8, 64])
def test_deepenings_lead_to_full_depth_and_are_worth_ever_less(n: int, agreement: float) -> None:
    steps = deepenings(n, agreement)
    assert [step.depth for step in steps] == sorted({step.depth for step in steps})
    assert (steps[-1].depth if steps else 0) == n
    worths = [step.worth for step in steps]
    assert worths == sorted(worths, reverse=True)
    assert all(step.rows > 0 for step in steps)
    added = sum(step.rows for step in steps)
    all_rows = depth_yield(n, n, agreement).rows_per_pass
    assert depth_yield(n, 0, agreement).rows_per_pass + added == pytest.approx(all_rows)
