"""Measures what Python needs to plan steps and to record their results, without any model."""

import time

import numpy as np

from benchmarks.fleet.cost import ConstantTime
from benchmarks.fleet.replica import Replica, ReplicaConfig
from benchmarks.fleet.workload import Request
from qstar_infer.config import EngineConfig

_NUM_SEQS = (1, 4, 16, 64, 128)


def measure_host(*, num_thought_tokens: int, max_tokens: int) -> tuple[float, float]:
    """Milliseconds of CPU time for a step, and for a row of it, by least squares.

    It is a little too much: the times of sizes and of made-up results are in it.
    """
    points = [_measure(count, num_thought_tokens, max_tokens) for count in _NUM_SEQS]
    rows = np.array([[1, rows_per_step] for rows_per_step, _ in points])
    ms = np.array([ms_per_step for _, ms_per_step in points])
    step_ms, row_ms = np.linalg.lstsq(rows / ms[:, None], np.ones(len(ms)), rcond=None)[0]
    return float(step_ms), float(row_ms)


def _measure(num_seqs: int, num_thought_tokens: int, max_tokens: int) -> tuple[float, float]:
    """Rows and milliseconds of a step with so many sequences."""
    engine = EngineConfig(
        prefix_caching=False, speculation=num_thought_tokens, max_num_seqs=num_seqs, max_drafts=2048
    )
    config = ReplicaConfig(engine=engine, num_blocks=10_000, step_time=ConstantTime(0.0))
    replica = Replica(config, num_thought_tokens=num_thought_tokens, agreement=0.97, seed=0)
    for _ in range(num_seqs):
        replica.submit(Request(arrival_s=0.0, num_prompt_tokens=8, num_output_tokens=max_tokens))
    started_s = time.process_time()
    replica.finish()
    seconds = time.process_time() - started_s
    return replica.counts.rows / replica.counts.steps, 1000 * seconds / replica.counts.steps
