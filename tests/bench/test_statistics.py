"""Percentiles against numpy's, and prompts that have nothing in common."""

import random

import numpy as np
import pytest

from qstar_infer.bench.prompts import load_prompts, make_prompt
from qstar_infer.bench.statistics import PERCENTILES, percentile, percentiles


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_percentiles_are_numpy_s(count: int) -> None:
    order = random.Random(count)
    values = [order.expovariate(1.0) for _ in range(count)]
    for share in (0, *PERCENTILES, 100):
        assert percentile(values, share) == pytest.approx(np.percentile(values, share))


def test_no_values_have_no_percentiles() -> None:
    assert percentiles([]) is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_prompts_come_with_the_package() -> None:
    prompts = load_prompts()
    assert len(prompts) == 5
    assert all(prompts)


def test_made_prompts_have_their_length_and_differ_from_the_start() -> None:
    def tokenize(text: str) -> list[int]:
        return list(text.encode())

    made = [make_prompt(tokenize, 700, seed=seed) for seed in range(8)]
    assert {len(prompt) for prompt in made} == {700}
    assert made[3] == make_prompt(tokenize, 700, seed=3)
    assert len({tuple(prompt[:16]) for prompt in made}) == 8
