"""Time of attention per layer, paged and gathered, by context, rows and sequences.

    python -m benchmarks.attention.run --json FILE

Shapes of the default model: 9 heads, 3 key heads, 64 numbers each. A sequence of R rows has R - 1
lanes in flight and feeds one token. The backends alternate; times are medians, in microseconds.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from qstar_infer.attention.backend import AttentionBackend
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend
from qstar_infer.attention.paged.backend import build_paged
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.step import NO_LANE, SequenceRows, StepBatch

BLOCK_SIZE = 16
NUM_LAYERS = 12
"""Enough for keys and values that the caches of the processor do not hold."""
HEADS, KV_HEADS, HEAD_DIM = 9, 3, 64
CONTEXTS = ([300], [1_000], [2_048], [8_192], list(range(100, 500, 25)), [2_048] * 8)


def step(contexts: list[int], num_rows: int) -> StepBatch:
    """One step that decodes, or thinks with `num_rows - 1` lanes, at these context lengths."""
    batch = StepBatch(block_size=BLOCK_SIZE)
    num_blocks = 0
    for context in contexts:
        blocks = -(-context // BLOCK_SIZE)
        table = list(range(num_blocks, num_blocks + blocks))
        lanes = [[num_blocks + blocks + lane] for lane in range(num_rows - 1)]
        num_blocks += blocks + len(lanes)
        for lane, (block,) in enumerate(lanes):
            depth = lane % 6
            batch.slots.append(block * BLOCK_SIZE + depth)
            batch.context_lens.append(context - len(lanes) + lane)
            batch.row_lanes.append(lane)
            batch.lane_lens.append(depth + 1)
        batch.slots.append(table[0] * BLOCK_SIZE + context - 1)
        batch.context_lens.append(context)
        batch.row_lanes.append(NO_LANE)
        batch.lane_lens.append(0)
        batch.sequences.append(
            SequenceRows(num_rows=num_rows, block_table=table, lane_tables=lanes)
        )
    batch.token_ids, batch.positions = ([0] * len(batch.slots) for _ in range(2))
    return batch


def attend(backend: AttentionBackend, batch: StepBatch, dtype: torch.dtype) -> None:
    """Prepare a step, and attend in all layers."""
    state = backend.prepare(batch)
    query = torch.zeros(1, HEADS, batch.num_rows, HEAD_DIM, dtype=dtype)
    key = torch.zeros(1, KV_HEADS, batch.num_rows, HEAD_DIM, dtype=dtype)
    for layer in range(NUM_LAYERS):
        state.attend(layer, query, key, key, scale=HEAD_DIM**-0.5, window=None)


def medians(ways: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Microseconds per layer of each way, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if repeat > 0:  # the first is a warm-up
                times[name].append((time.perf_counter() - start) / NUM_LAYERS * 1e6)
    return {name: round(statistics.median(values), 1) for name, values in times.items()}


@torch.inference_mode()
def measure(
    contexts: list[int], num_rows: int, dtype: torch.dtype, repeats: int
) -> dict[str, float]:
    """Both backends over the same pool and step."""
    batch = step(contexts, num_rows)
    shape = LayerShape(num_kv_heads=KV_HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM, window=None)
    num_slots = max(batch.slots) + BLOCK_SIZE * (num_rows + 1)
    pool = KVPool([shape] * NUM_LAYERS, num_slots, dtype=dtype, device=torch.device("cpu"))
    for states in (*pool.keys, *pool.values):
        states.normal_()
    paged = build_paged(pool)
    if paged is None:
        raise SystemExit("paged attention cannot be built: install a C compiler (cc)")
    backends: dict[str, AttentionBackend] = {
        "paged": paged,
        "gathered": PaddedSdpaBackend(pool),
    }
    ways: dict[str, Callable[[], None]] = {
        name: partial(attend, backend, batch, dtype) for name, backend in backends.items()
    }
    return medians(ways, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        for contexts in CONTEXTS:
            for num_rows in (1, 9):
                times = measure(contexts, num_rows, dtype, arguments.repeats)
                name = str(dtype).removeprefix("torch.")
                results.append({"dtype": name, "contexts": contexts, "rows": num_rows, **times})
                line = f"{name}, {len(contexts)} x {max(contexts)}, {num_rows} rows: {times}"
                sys.stdout.write(line + "\n")
    if arguments.json:
        header = {
            "torch": torch.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "unit": "microseconds per layer, median",
        }
        arguments.json.write_text(json.dumps({**header, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
