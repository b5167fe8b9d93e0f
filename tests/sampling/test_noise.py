"""The noise is Gumbel noise, and a pure function of its counter."""

import math

import pytest
import torch

from qstar_infer.sampling.noise import derive_seed, gumbel_noise, pick_tokens, row_keys
from qstar_infer.sampling_params import SamplingParams


def keys(seeds: list[int], positions: list[int], roles: list[int]) -> torch.Tensor:
    return row_keys(torch.tensor(seeds), torch.tensor(positions), torch.tensor(roles))


def test_noise_has_the_gumbel_distribution() -> None:
    """Kolmogorov-Smirnov: with 10**6 draws a deviation of 0.002 has probability below 0.001."""
    noise = gumbel_noise(keys([1] * 100, list(range(100)), [0] * 100), 10_000).flatten().double()
    ordered = noise.sort().values
    exact = torch.exp(-torch.exp(-ordered))
    empirical = torch.arange(1, len(ordered) + 1) / len(ordered)
    assert float((exact - empirical).abs().max()) < 0.002


def test_samples_follow_the_softmax() -> None:
    """Chi-square over 6 tokens and 20,000 positions: the 0.999 quantile with 5 dof is 20.5."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0, 1.5])
    count = 20_000
    picked = pick_tokens(
        logits.expand(count, -1),
        torch.full((count,), 0.8),
        keys([7] * count, list(range(count)), [0] * count),
    )
    observed = torch.bincount(picked, minlength=6).double()
    expected = torch.softmax(logits / 0.8, dim=0).double() * count
    assert float(((observed - expected) ** 2 / expected).sum()) < 20.5


def test_neighbouring_counters_are_independent() -> None:
    """Correlation of 10**5 pairs is within 0.01 of 0 with probability above 0.998."""
    rows = {
        "seed": (keys([3], [5], [0]), keys([4], [5], [0])),
        "position": (keys([3], [5], [0]), keys([3], [6], [0])),
        "role": (keys([3], [5], [0]), keys([3], [5], [1])),
    }
    for what, pair in rows.items():
        draws = [gumbel_noise(key, 100_000)[0] for key in pair]
        correlation = float(torch.corrcoef(torch.stack(draws))[0, 1])
        assert abs(correlation) < 0.01, what


def test_a_row_does_not_depend_on_its_batch() -> None:
    together = keys([1, 2, -(2**63)], [9, 9, 0], [0, 3, 1])
    for row, (seed, position, role) in enumerate([(1, 9, 0), (2, 9, 3), (-(2**63), 0, 1)]):
        alone = keys([seed], [position], [role])
        assert torch.equal(gumbel_noise(together, 50)[row], gumbel_noise(alone, 50)[0])


def test_greedy_rows_ignore_the_noise() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0]])
    heat = torch.tensor([0.0, 1.0])
    for seed in range(20):
        assert int(pick_tokens(logits, heat, keys([seed] * 2, [0, 0], [0, 0]))[0]) == 1


@pytest.mark.parametrize("temperature", [1e-7, 1e-38, 1e-44])
def test_a_temperature_of_almost_0_is_stored_as_0(temperature: float) -> None:
    """Dividing logits by it used to give infinities, of which the first was taken."""
    params = SamplingParams(temperature=temperature, thought_temperature=temperature)
    assert params.temperature == 0.0
    assert params.thought_temperature == 0.0
    logits = torch.tensor([[1.0, 3.0, 2.0], [-3.0, -1.0, -2.0]])
    picked = pick_tokens(logits, torch.full((2,), params.temperature), keys([1, 2], [0, 0], [0, 0]))
    assert picked.tolist() == [1, 1]


def test_masked_tokens_are_never_picked() -> None:
    logits = torch.full((500, 4), -math.inf)
    logits[:, 2] = -50.0
    picked = pick_tokens(
        logits, torch.full((500,), 2.0), keys([1] * 500, list(range(500)), [0] * 500)
    )
    assert picked.eq(2).all()


def test_the_least_noise_is_finite() -> None:
    """It used to be minus infinity once in 2**25 draws, which excluded the only allowed token."""
    key = keys([14240578], [2], [0])
    noise = gumbel_noise(key, 260)
    assert bool(noise.isfinite().all())
    assert int(noise.argmin()) == 186
    logits = torch.full((1, 260), -math.inf)
    logits[0, 186] = 1.0
    assert pick_tokens(logits, torch.ones(1), key).tolist() == [186]


def test_each_completion_of_a_request_has_its_own_seed() -> None:
    seeds = [derive_seed(11, index) for index in range(100)]
    assert seeds[0] == 11
    assert len(set(seeds)) == 100
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)
