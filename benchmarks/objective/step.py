"""One measurement in a separate process: a forward and a backward pass of one way.

    python -m benchmarks.objective.step WAY SEQ NUM_THOUGHT_TOKENS NUM_TALK_TOKENS THREADS

Writes one line of JSON. The process is separate, because a later step would reuse memory that the
allocator kept from an earlier one. Linux only: the kernel measures the peak.
"""

import argparse
import ctypes
import gc
import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch

from benchmarks.objective.models import as_stock, fixed_thoughts, make_batch, make_model
from benchmarks.objective.quadratic import (
    Cached,
    QuadraticObjective,
    Recomputed,
    evaluate_quadratic,
)
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.objective import Objective, evaluate_objective

BASELINES: dict[str, type[Recomputed] | type[Cached]] = {"recomputed": Recomputed, "cached": Cached}
WARM_UP_SEQ = 8
"""Long enough to call every kernel once, and short enough to use little memory."""
MEMORY_SHARE = 0.9
"""Share of the free memory that the process may use; beyond it, allocations fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The measurement of one process."""

    seconds: float
    peak_bytes: int
    """Peak resident memory during the step, including gradients, minus that before it."""
    total: float
    language: float
    policy: float


class DoesNotFitError(Exception):
    """The step needs more memory than is available."""


def measure_step(way: str, *, seq: int, num_thought_tokens: int, num_talk_tokens: int) -> Step:
    """Warm up, then measure one forward and backward pass.

    Raises:
        DoesNotFitError: an allocation failed.
    """
    model = make_model(num_thought_tokens)
    settings = ObjectiveConfig(num_talk_tokens=num_talk_tokens, num_passes=1)
    evaluate(way, model, settings, WARM_UP_SEQ).total.backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    before = _start_of_peak()
    started = time.perf_counter()
    try:
        objective = evaluate(way, model, settings, seq)
        objective.total.backward()  # type: ignore[no-untyped-call]
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocat" not in str(error):
            raise
        raise DoesNotFitError(str(error)) from error
    return Step(
        seconds=time.perf_counter() - started,
        peak_bytes=_status("VmHWM") - before,
        total=float(objective.total.detach()),
        language=float(objective.language.detach()),
        policy=float(objective.policy.detach().mean()),
    )


def evaluate(
    way: str, model: QuietStarModel, settings: ObjectiveConfig, seq: int
) -> Objective | QuadraticObjective:
    """The objective of one batch, computed in one of the ways."""
    batch, pick = make_batch(seq), fixed_thoughts()
    if way == "ours":
        return evaluate_objective(model, *batch, settings, pick=pick)
    return evaluate_quadratic(as_stock(model), *batch, settings, pick=pick, way=BASELINES[way])


def limit_memory() -> None:
    """Limit the memory of this process, so that too large allocations fail."""
    limit = int(MEMORY_SHARE * psutil.virtual_memory().available)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _start_of_peak() -> int:
    """Reset the kernel's peak, which includes loading; returns the resident bytes now."""
    # The step would reuse freed memory that the allocator still holds, without counting it.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    """A memory figure of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"/proc/self/status has no {name}")


def main() -> None:
    """Measure and print the figures, or `{"fits": false}` if memory is not sufficient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=["ours", *BASELINES])
    for name in ("seq", "num_thought_tokens", "num_talk_tokens", "threads"):
        parser.add_argument(name, type=int)
    arguments = vars(parser.parse_args())
    torch.set_num_threads(arguments.pop("threads"))
    limit_memory()
    try:
        answer = {"fits": True} | asdict(measure_step(arguments.pop("way"), **arguments))
    except DoesNotFitError:
        answer = {"fits": False}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # freeing gigabytes of graph would only take time


if __name__ == "__main__":
    main()
