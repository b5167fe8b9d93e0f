"""The fast sampler takes the tokens of the definition, `pick_tokens`, whatever the logits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from qstar_infer.sampling import pick_on_cpu as fast
from qstar_infer.sampling.noise import gumbel_noise, noise_of_tails, pick_tokens, row_keys

VOCAB_SIZE = 49152
SIZES = [1, 2, 17, 260, 1000, VOCAB_SIZE, 65536, 65537, 151936]
# fmt: off
RECORDED = [
    46605, 13674, 32663, 3132, 46605, 9851, 44039, 35747, 46605, 17999, 43166, 10077,
    46605, 44144, 40759, 23881, 46605, 6347, 39569, 31196, 46605, 5130, 42994, 35899,
]
# fmt: on
TEMPERATURES = [0.0, 1e-6, 1e-3, 0.3, 0.7, 1.0, 1.5, 100.0, 1e30]
LEAST_NOISE = row_keys(torch.tensor([14240578]), torch.tensor([2]), torch.tensor([0]))
"""A key whose noise is the least there is, at token 186."""


@pytest.fixture(params=["C", "numpy"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(fast, "load_logit_rows", lambda: None)


def picked(logits: Tensor, temperatures: list[float], keys: Tensor) -> list[int]:
    return fast.pick_on_cpu(list(logits.numpy()), temperatures, keys.numpy())


def by_definition(logits: Tensor, temperatures: list[float], keys: Tensor) -> list[int]:
    token_ids: list[int] = pick_tokens(logits, torch.tensor(temperatures), keys).tolist()
    return token_ids


def some_keys(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**63), 2**63 - 1, (count,), generator=generator)


def draw_row(seed: int, vocab_size: int, spread: float, step: float, masked: float) -> Tensor:
    """`[1, vocab]`: logits of this spread, in steps (0: none), some of them masked."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, vocab_size, generator=generator)
    if step:  # many tokens tie
        logits = (logits / step).round() * step
    is_masked = torch.rand(1, vocab_size, generator=generator) < masked
    is_masked[0, seed % vocab_size] = False
    return (logits * spread).masked_fill(is_masked, -math.inf)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**31),
    key=st.integers(-(2**63), 2**63 - 1),
    vocab_size=st.sampled_from(SIZES),
    spread=st.sampled_from([0.0, 1e-3, 0.3, 1.0, 3.0, 10.0, 1e4, 1e9]),
    step=st.sampled_from([0.0, 0.25, 1.0]),
    masked=st.sampled_from([0.0, 0.1, 0.9, 0.9995]),
    temperature=st.one_of(st.sampled_from(TEMPERATURES), st.floats(1e-6, 3.0)),
)
def test_any_row_gives_the_token_of_the_definition(
    seed: int,
    key: int,
    vocab_size: int,
    spread: float,
    step: float,
    masked: float,
    temperature: float,
) -> None:
    logits = draw_row(seed, vocab_size, spread, step, masked)
    keys = torch.tensor([key])
    assert picked(logits, [temperature], keys) == by_definition(logits, [temperature], keys)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 4.0])
def test_many_rows_give_the_tokens_of_the_definition(temperature: float) -> None:
    """600 rows of a small vocabulary, peaked and flat, for many draws from each part of the noise's
    distribution."""
    keys = some_keys(600, seed=3)
    logits = torch.cat(
        [draw_row(row, 260, spread, 0.0, 0.0) for row, spread in enumerate([0.1, 1.0, 4.0] * 200)]
    )
    heat = [temperature] * 600
    assert picked(logits, heat, keys) == by_definition(logits, heat, keys)


def test_tokens_that_were_sampled_before() -> None:
    """Recorded when noise was computed for all tokens: a seed gives the same text for ever."""
    rows = torch.arange(24)
    ramp = (torch.arange(VOCAB_SIZE) * 7919 % 104729).float().div(104729 / 12)
    keys = row_keys(rows * 1_000_003 - 5, rows * 17, rows % 5)
    heat = [[0.0, 0.5, 1.0, 3.0][row % 4] for row in range(24)]
    assert picked(ramp.expand(24, -1).contiguous(), heat, keys) == RECORDED


def mix32(x: int) -> int:
    """`noise._mix32_` of one number."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ x >> shift) * factor & 0xFFFFFFFF
    return x ^ x >> 16


@pytest.mark.parametrize("token", [0, 7, 40_000, 70_000])
def test_the_largest_noise_there_is(token: int) -> None:
    """`mix32(0)` is 0, so this key gives `token` a tail of 0, whose bound has no logarithm."""
    low = 0x12345678
    keys = torch.from_numpy(np.array([mix32(token ^ low) << 32 | low], np.uint64).view(np.int64))
    logits = torch.zeros(1, 70_001)
    assert gumbel_noise(keys, 70_001)[0, token] == gumbel_noise(keys, 70_001).max() > 22
    for lead in (0.0, 21.0, 22.0, 23.0, 30.0, math.inf):
        logits[0, token] = -lead
        assert picked(logits, [1.0], keys) == by_definition(logits, [1.0], keys)


@pytest.mark.parametrize("lead", [0.0, 1.0, 2.7, 2.8, 2.9, 10.0, math.inf])
def test_the_least_noise_there_is(lead: float) -> None:
    logits = torch.full((1, 260), -lead)
    logits[0, 186] = 0.0
    assert picked(logits, [1.0], LEAST_NOISE) == by_definition(logits, [1.0], LEAST_NOISE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_numbers_that_are_not_finite_are_treated_alike(value: float, temperature: float) -> None:
    """The token means nothing, but it must be one."""
    one = torch.zeros(1, 300)
    one[0, 77] = value
    for logits in (one, torch.full((1, 300), value)):
        for keys in some_keys(5, seed=1).split(1):
            token_ids = picked(logits, [temperature], keys)
            assert token_ids == by_definition(logits, [temperature], keys)


def test_rows_do_not_depend_on_each_other() -> None:
    keys = some_keys(6, seed=2)
    heat = [0.0, 1.0, 0.7, 0.0, 2.0, 1e-6]
    logits = torch.cat([draw_row(row, 5000, 3.0, 0.25, 0.1) for row in range(6)])
    alone = [
        picked(logits[row : row + 1], heat[row : row + 1], keys[row : row + 1])[0]
        for row in range(6)
    ]
    assert picked(logits, heat, keys) == alone == by_definition(logits, heat, keys)


def test_a_handful_of_tokens_is_computed_by_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what makes it fast. Flat, peaked, and typical logits of a language model."""
    computed: list[int] = []

    def counting(tails: Tensor) -> Tensor:
        computed.append(tails.numel())
        return noise_of_tails(tails)

    monkeypatch.setattr(fast, "noise_of_tails", counting)
    for spread in (0.0, 3.0, 10.0):
        computed.clear()
        keys = some_keys(40, seed=int(spread))
        logits = torch.cat([draw_row(row, VOCAB_SIZE, spread, 0.0, 0.0) for row in range(40)])
        picked(logits, [1.0] * 40, keys)
        assert sum(computed) < 40 * 10


def test_the_logits_are_not_written_to() -> None:
    logits = draw_row(1, 1000, 3.0, 0.0, 0.1)
    before = logits.clone()
    picked(logits, [1.0], some_keys(1, seed=1))
    picked(logits, [0.5], some_keys(1, seed=1))
    assert torch.equal(logits, before)


def test_keys_of_numpy_are_those_of_torch() -> None:
    draw = np.random.default_rng(5)
    low, high = -(2**63), 2**63 - 1
    parts = [draw.integers(low, high, 200, endpoint=True) for _ in range(3)]
    of_torch = row_keys(*(torch.from_numpy(part) for part in parts))
    assert np.array_equal(row_keys(*parts), of_torch.numpy())
