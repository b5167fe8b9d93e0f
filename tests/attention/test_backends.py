"""Both backends against the definition, for random steps, shapes, windows and block tables."""

import random

import pytest
import torch

from qstar_infer.attention.backend import AttentionBackend
from qstar_infer.attention.in_place import prefix
from qstar_infer.attention.in_place.backend import InPlaceBackend
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.step import StepBatch

from .steps import NUM_BLOCKS, defined_attention, random_step

TOLERANCES = {torch.float32: 3e-6, torch.bfloat16: 2e-2, torch.float16: 3e-3}
"""Rounding of outputs of size 1, a few units in the last place."""


def filled_pool(batch: StepBatch, shape: LayerShape, dtype: torch.dtype) -> KVPool:
    """A pool of random numbers, so that a slot that must not be read shows."""
    num_slots = NUM_BLOCKS * batch.block_size
    pool = KVPool([shape], num_slots, dtype=dtype, device=torch.device("cpu"))
    for states in (*pool.keys, *pool.values):
        states.normal_()
    return pool


@pytest.mark.parametrize("backend", [InPlaceBackend, PaddedSdpaBackend])
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("seed", range(40))
def test_rows_attend_as_defined(
    monkeypatch: pytest.MonkeyPatch, backend: type[AttentionBackend], dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    shortest, piece = draw.choice([(16, 16), (32, 8), (7, 7)])
    monkeypatch.setattr(prefix, "SHORTEST", shortest)
    monkeypatch.setattr(prefix, "PIECE", piece)
    batch = random_step(
        draw, block_size=draw.choice([1, 4, 5, 16]), longest=90, is_fragmented=draw.random() < 0.5
    )
    kv_heads, groups, dim = draw.choice([(1, 1, 8), (3, 3, 16), (2, 4, 20), (4, 1, 5)])
    window = draw.choice([None, None, 5, 30])
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
        state = backend(pool).prepare(batch)  # type: ignore[call-arg]
        output = state.attend(0, query, key, value, scale=0.3, window=window)

    assert torch.equal(pool.keys[0], keys)
    assert torch.equal(pool.values[0], values)
    expected = defined_attention(batch, query[0], keys, values, scale=0.3, window=window)
    torch.testing.assert_close(output[0].double(), expected, rtol=0, atol=TOLERANCES[dtype])
    assert state.broken_rows() == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_row_reaches_no_other_sequence(
    monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    monkeypatch.setattr(prefix, "SHORTEST", 16)
    monkeypatch.setattr(prefix, "PIECE", 16)
    torch.manual_seed(0)
    draw = random.Random(3)
    batch = random_step(draw, block_size=4, longest=90, is_fragmented=True)
    while len(batch.sequences) < 2:
        batch = random_step(draw, block_size=4, longest=90, is_fragmented=True)
    shape = LayerShape(num_kv_heads=2, key_dim=8, value_dim=8, window=None)
    key, value = torch.randn(2, 1, 2, batch.num_rows, 8)
    query = torch.randn(1, 4, batch.num_rows, 8)
    outputs = []
    for number in (0.0, bad):
        key[0, 1, 0, 3] = number
        pool = filled_pool(batch, shape, torch.float32)
        for states in (*pool.keys, *pool.values):
            states.fill_(0.5)
        with torch.inference_mode():
            state = InPlaceBackend(pool).prepare(batch)
            outputs.append(state.attend(0, query, key, value, scale=1.0, window=None))
    assert state.broken_rows() == [0]
    first_of_others = batch.sequences[0].num_rows
    assert torch.equal(outputs[0][0, first_of_others:], outputs[1][0, first_of_others:])
    assert outputs[1].isfinite().all()


def test_a_fragmented_prefix_gives_the_bits_of_one_in_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefix, "SHORTEST", 16)
    monkeypatch.setattr(prefix, "PIECE", 16)
    torch.manual_seed(0)
    query, keys = torch.randn(2, 9, 8), torch.randn(2, 64, 8)
    order = list(range(16))[::-1]
    scattered = keys.view(2, 16, 4, 8)[:, order].reshape(2, 64, 8)
    whole = prefix.Prefix(range(16), 64, block_size=4, num_rows=9)
    parts = prefix.Prefix(order, 64, block_size=4, num_rows=9)
    with torch.inference_mode():
        (one,) = whole.attend(query, keys, keys, 1.0)
        (other,) = parts.attend(query, scattered, scattered, 1.0)
    assert torch.equal(one.output, other.output)
    assert torch.equal(one.logsumexp, other.logsumexp)
