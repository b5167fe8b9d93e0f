"""Both backends against the definition, for random steps, shapes, windows and block tables."""

import random
from collections.abc import Callable

import pytest
import torch

from qstar_infer.attention.backend import AttentionBackend
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.kv_cache.layer_shape import LayerShape

from .steps import defined_attention, filled_pool, paged_backend, random_step

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
"""Rounding of outputs of size 1 to 4, a few units in the last place."""


BACKENDS: list[Callable[[KVPool], AttentionBackend]] = [paged_backend, PaddedSdpaBackend]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("seed", range(40))
def test_rows_attend_as_defined(
    backend: Callable[[KVPool], AttentionBackend], dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    batch = random_step(
        draw,
        block_size=draw.choice([1, 4, 5, 16]),
        longest=draw.choice([90, 90, 1200]),
        is_fragmented=draw.random() < 0.5,
    )
    kv_heads, groups, dim = draw.choice([(1, 1, 8), (3, 3, 16), (2, 4, 20), (4, 1, 5), (1, 40, 64)])
    window = draw.choice([None, None, 5, 30, 600])
    shape = LayerShape(
        num_kv_heads=kv_heads,
        key_dim=dim,
        value_dim=draw.choice([dim, dim, dim + 3]),
        window=window,
    )
    pool = filled_pool(batch, shape, dtype)
    query = torch.randn(1, kv_heads * groups, batch.num_rows, dim).to(dtype)
    key = torch.randn(1, kv_heads, batch.num_rows, dim).to(dtype)
    value = torch.randn(1, kv_heads, batch.num_rows, shape.value_dim).to(dtype)
    keys, values = pool.keys[0].clone(), pool.values[0].clone()
    keys[:, batch.slots], values[:, batch.slots] = key[0], value[0]

    with torch.inference_mode():
        state = backend(pool).prepare(batch)
        output = state.attend(0, query, key, value, scale=0.3, window=window)

    assert torch.equal(pool.keys[0], keys)
    assert torch.equal(pool.values[0], values)
    expected = defined_attention(batch, query[0], keys, values, scale=0.3, window=window)
    torch.testing.assert_close(output[0].double(), expected, rtol=0, atol=TOLERANCES[dtype])
    assert state.broken_rows() == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_broken_row_reaches_no_other_sequence(
    backend: Callable[[KVPool], AttentionBackend], dtype: torch.dtype, bad: float
) -> None:
    torch.manual_seed(0)
    draw = random.Random(3)
    batch = random_step(draw, block_size=4, longest=90, is_fragmented=True)
    while len(batch.sequences) < 2:
        batch = random_step(draw, block_size=4, longest=90, is_fragmented=True)
    shape = LayerShape(num_kv_heads=2, key_dim=8, value_dim=8, window=None)
    key, value = torch.randn(2, 1, 2, batch.num_rows, 8).to(dtype)
    query = torch.randn(1, 4, batch.num_rows, 8).to(dtype)
    outputs = []
    for number in (0.0, bad):
        key[0, 1, 0, 3] = value[0, 0, 0, 2] = number
        pool = filled_pool(batch, shape, dtype)
        for states in (*pool.keys, *pool.values):
            states.fill_(0.5)
        with torch.inference_mode():
            state = backend(pool).prepare(batch)
            outputs.append(state.attend(0, query, key, value, scale=1.0, window=None))
    assert state.broken_rows() == [0]
    first_of_others = batch.sequences[0].num_rows
    assert torch.equal(outputs[0][0, first_of_others:], outputs[1][0, first_of_others:])
    assert outputs[1].isfinite().all()
