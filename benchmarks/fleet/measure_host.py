"""Measures what Python needs to plan steps and to record their results, without any model."""

import time

import numpy as np

from benchmarks.fleet.cost import ConstantTime, HostTime
from benchmarks.fleet.replica import Replica, ReplicaConfig
from benchmarks.fleet.workload import Request
from qstar_infer.config import EngineConfig

_NUM_SEQS = (1, 4, 16, 64, 128)
_THOUGHT_LENGTHS = (0, 4)


def measure_host(*, max_tokens: int) -> HostTime:
    """CPU time of the scheduler, with full batches of several sizes, thinking and not.

    It is a little too much: counting rows and making up results is part of it.
    """
    points = [
        _measure(count, length, max_tokens) for length in _THOUGHT_LENGTHS for count in _NUM_SEQS
    ]
    features = np.array([[1, rows, count**2] for count, rows, _ in points])
    ms = np.array([value for _, _, value in points])
    found = np.linalg.lstsq(features / ms[:, None], np.ones(len(ms)), rcond=None)[0]
    return HostTime(step_ms=float(found[0]), row_ms=float(found[1]), pair_ms=float(found[2]))


def _measure(num_seqs: int, num_thought_tokens: int, max_tokens: int) -> tuple[int, float, float]:
    """Sequences, and the mean rows and milliseconds of their steps."""
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
    counts = replica.counts
    return num_seqs, counts.rows / counts.steps, 1000 * seconds / counts.steps
