"""Random steps, and the definition of their attention in float64, row by row."""

import random

import pytest
import torch
from torch import Tensor

from qstar_infer.attention.paged.backend import PagedBackend, build_paged
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.step import NO_LANE, SequenceRows, StepBatch

NUM_BLOCKS = 5000
LANE_SLOTS = 6


def filled_pool(batch: StepBatch, shape: LayerShape, dtype: torch.dtype) -> KVPool:
    """A pool of random numbers, so that a slot that must not be read shows."""
    num_slots = NUM_BLOCKS * batch.block_size
    pool = KVPool([shape], num_slots, dtype=dtype, device=torch.device("cpu"))
    for states in (*pool.keys, *pool.values):
        states.normal_()
    return pool


def paged_backend(pool: KVPool) -> PagedBackend:
    backend = build_paged(pool)
    if backend is None:
        pytest.skip("this machine has no C compiler")
    return backend


def random_step(
    draw: random.Random, *, block_size: int, longest: int, is_fragmented: bool
) -> StepBatch:
    """Up to four sequences with lanes and fed tokens; each row stands for a token."""
    batch = StepBatch(block_size=block_size)
    free = list(range(NUM_BLOCKS))
    if is_fragmented:
        draw.shuffle(free)
    for _ in range(draw.randint(1, 4)):
        length = draw.randint(1, longest)
        table = [free.pop(0) for _ in range(-(-length // block_size))]
        lanes = [
            [free.pop() for _ in range(-(-LANE_SLOTS // block_size))]
            for _ in range(draw.randint(0, 4))
        ]
        first = batch.num_rows
        for number, lane in enumerate(lanes):
            depth = draw.randrange(LANE_SLOTS)
            context = draw.randint(max(1, length - 8), length)
            _add_row(batch, lane, depth, context, lane=number, lane_len=depth + 1)
        for index in range(length - draw.randint(1, min(length, 40)), length):
            _add_row(batch, table, index, index + 1)
        batch.sequences.append(
            SequenceRows(num_rows=batch.num_rows - first, block_table=table, lane_tables=lanes)
        )
    return batch


def _add_row(
    batch: StepBatch,
    table: list[int],
    index: int,
    context_len: int,
    *,
    lane: int = NO_LANE,
    lane_len: int = 0,
) -> None:
    size = batch.block_size
    batch.token_ids.append(0)
    batch.positions.append(0)
    batch.slots.append(table[index // size] * size + index % size)
    batch.context_lens.append(context_len)
    batch.row_lanes.append(lane)
    batch.lane_lens.append(lane_len)


def defined_attention(
    batch: StepBatch,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    scale: float,
    window: int | None,
) -> Tensor:
    """Attention of each row over the slots that it sees, with a loop and in float64.

    Args:
        query: `[heads, rows, dim]`.
        keys, values: `[kv_heads, num_slots, dim]`, those of the step already written.

    Returns:
        `[rows, heads, value_dim]`.
    """
    groups = query.shape[0] // keys.shape[0]
    repeated = [each.double().repeat_interleave(groups, dim=0) for each in (keys, values)]
    outputs, row = [], 0
    for seq in batch.sequences:
        for _ in range(seq.num_rows):
            slots = _seen(batch, seq, row, window)
            scores = torch.einsum("hd,hkd->hk", query[:, row].double(), repeated[0][:, slots])
            shares = (scores * scale).softmax(dim=-1)
            outputs.append(torch.einsum("hk,hkd->hd", shares, repeated[1][:, slots]))
            row += 1
    return torch.stack(outputs)


def _seen(batch: StepBatch, seq: SequenceRows, row: int, window: int | None) -> list[int]:
    size, end = batch.block_size, batch.context_lens[row]
    begin = 0 if window is None else max(0, end - window)
    slots = [seq.block_table[i // size] * size + i % size for i in range(begin, end)]
    if batch.row_lanes[row] != NO_LANE:
        lane = seq.lane_tables[batch.row_lanes[row]]
        slots += [lane[i // size] * size + i % size for i in range(batch.lane_lens[row])]
    return slots
