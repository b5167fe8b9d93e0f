"""The bits of a row depend on what it attends to, and on nothing else."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qstar_infer.attention.choose import choose_attention
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend
from qstar_infer.attention.paged import library
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.step import NO_LANE, StepBatch

from .steps import NUM_BLOCKS, filled_pool, paged_backend, random_step

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Case:
    """A random step, with its pool and inputs."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        torch.manual_seed(seed)
        draw = random.Random(seed)
        self.batch = random_step(
            draw,
            block_size=draw.choice([1, 4, 5, 16]),
            longest=draw.choice([90, 700, 1300]),
            is_fragmented=draw.random() < 0.5,
        )
        self.window = draw.choice([None, None, 5, 30, 600])
        kv_heads, groups, dim = draw.choice([(1, 1, 8), (3, 3, 64), (2, 4, 20), (1, 40, 16)])
        shape = LayerShape(
            num_kv_heads=kv_heads, key_dim=dim, value_dim=dim + 3, window=self.window
        )
        self.pool = filled_pool(self.batch, shape, dtype)
        rows = self.batch.num_rows
        self.query = torch.randn(1, kv_heads * groups, rows, dim).to(dtype)
        self.key = torch.randn(1, kv_heads, rows, dim).to(dtype)
        self.value = torch.randn(1, kv_heads, rows, dim + 3).to(dtype)

    def attend(self, batch: StepBatch | None = None, rows: slice = slice(None)) -> Tensor:
        """`[rows, heads, value_dim]`."""
        state = paged_backend(self.pool).prepare(batch or self.batch)
        states = [each[:, :, rows] for each in (self.query, self.key, self.value)]
        query, key, value = states
        return state.attend(0, query, key, value, scale=0.3, window=self.window)[0]


def single_rows(batch: StepBatch) -> Iterator[StepBatch]:
    """For each row, a step of it alone."""
    row = 0
    for seq in batch.sequences:
        for _ in range(seq.num_rows):
            lane = batch.row_lanes[row]
            alone = StepBatch(block_size=batch.block_size)
            has_lane = lane != NO_LANE
            alone.sequences = [
                replace(seq, num_rows=1, lane_tables=[seq.lane_tables[lane]] if has_lane else [])
            ]
            alone.row_lanes = [0 if has_lane else NO_LANE]
            for name in ("token_ids", "positions", "slots", "context_lens", "lane_lens"):
                setattr(alone, name, [getattr(batch, name)[row]])
            yield alone
            row += 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(12))
def test_a_row_alone_has_the_bits_of_a_row_among_others(dtype: torch.dtype, seed: int) -> None:
    case = Case(seed, dtype)
    together = case.attend()
    for row, alone in enumerate(single_rows(case.batch)):
        assert torch.equal(case.attend(alone, slice(row, row + 1))[0], together[row]), row


@pytest.mark.parametrize("seed", range(12))
def test_the_number_of_threads_changes_no_bit(seed: int) -> None:
    case = Case(seed, torch.bfloat16)
    outputs = []
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        outputs.append(case.attend())
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def moved(batch: StepBatch, places: list[int]) -> StepBatch:
    """The same step with its blocks at other places."""
    size = batch.block_size
    return replace(
        batch,
        slots=[places[slot // size] * size + slot % size for slot in batch.slots],
        sequences=[
            replace(
                seq,
                block_table=[places[block] for block in seq.block_table],
                lane_tables=[[places[block] for block in lane] for lane in seq.lane_tables],
            )
            for seq in batch.sequences
        ],
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_places_of_blocks_change_no_bit(seed: int) -> None:
    case = Case(seed, torch.bfloat16)
    expected = case.attend()
    places = random.Random(seed).sample(range(NUM_BLOCKS), NUM_BLOCKS)
    for states in (*case.pool.keys, *case.pool.values):
        kv_heads, num_slots, dim = states.shape
        blocks = states.view(kv_heads, NUM_BLOCKS, num_slots // NUM_BLOCKS, dim)
        blocks[:, places] = blocks.clone()
    assert torch.equal(case.attend(moved(case.batch, places)), expected)


def test_views_of_one_product_are_read_as_they_lie() -> None:
    """As the fused layers pass them, and as transformers does."""
    case = Case(3, torch.bfloat16)
    expected = case.attend()
    heads = [each.shape[1] for each in (case.query, case.key, case.value)]
    dim = case.query.shape[-1]
    product = torch.zeros(case.batch.num_rows, sum(heads), dim + 3, dtype=torch.bfloat16)
    views = product.transpose(0, 1).unsqueeze(0).split(heads, dim=1)
    for view, states in zip(views, (case.query, case.key, case.value), strict=True):
        view[..., : states.shape[-1]] = states
    case.query, case.key = views[0][..., :dim], views[1][..., :dim]
    case.value = views[2]
    assert torch.equal(case.attend(), expected)
    for name in ("query", "key", "value"):  # numbers that are not adjacent
        states = getattr(case, name)
        setattr(case, name, states.transpose(2, 3).contiguous().transpose(2, 3))
    assert torch.equal(case.attend(), expected)


def test_small_and_large_numbers_of_float16() -> None:
    """Every finite float16 comes back from a key that only its own row sees."""
    numbers = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16)
    numbers = numbers[numbers.isfinite()]
    values = numbers[: len(numbers) // 128 * 128].view(1, 1, -1, 128)
    rows = values.shape[2]
    shape = LayerShape(num_kv_heads=1, key_dim=8, value_dim=128, window=1)
    pool = KVPool([shape], rows, dtype=torch.float16, device=torch.device("cpu"))
    batch = random_step(random.Random(0), block_size=1, longest=1, is_fragmented=False)
    batch.sequences = [replace(batch.sequences[0], num_rows=rows, lane_tables=[])]
    batch.sequences[0].block_table = list(range(rows))
    batch.token_ids = batch.positions = batch.lane_lens = [0] * rows
    batch.row_lanes, batch.slots = [NO_LANE] * rows, list(range(rows))
    batch.context_lens = list(range(1, rows + 1))
    ones = torch.ones(1, 1, rows, 8, dtype=torch.float16)
    state = paged_backend(pool).prepare(batch)
    output = state.attend(0, ones, ones, values, scale=1.0, window=1)
    assert torch.equal(output.view(-1), values.flatten())
    assert state.broken_rows() == []


def make_pool(dtype: torch.dtype, dim: int = 8) -> KVPool:
    shape = LayerShape(num_kv_heads=1, key_dim=dim, value_dim=8, window=None)
    return KVPool([shape], 16, dtype=dtype, device=torch.device("cpu"))


def test_what_the_library_cannot_read_is_left_to_torch() -> None:
    assert isinstance(choose_attention(make_pool(torch.float64)), PaddedSdpaBackend)
    assert isinstance(choose_attention(make_pool(torch.float32, dim=264)), PaddedSdpaBackend)


def test_without_a_compiler_torch_attends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    library.load_paged_attention.cache_clear()
    try:
        assert isinstance(choose_attention(make_pool(torch.float32)), PaddedSdpaBackend)
    finally:
        library.load_paged_attention.cache_clear()
