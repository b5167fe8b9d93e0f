"""One measurement in a process of its own: a forward and a backward pass of one way.

    python -m benchmarks.objective.step WAY SEQ NUM_THOUGHT_TOKENS NUM_TALK_TOKENS THREADS

Writes one line of JSON. A process of its own, because memory that an earlier step left to the
allocator would hide what the next one needs. Linux only: the peak is the kernel's.
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
"""Calls every kernel once, and leaves little memory behind."""
MEMORY_SHARE = 0.9
"""Of the memory that is free at the start: past it, allocations fail before the machine does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one process measured."""

    seconds: float
    peak_bytes: int
    """Peak resident memory during the step over that before it; gradients are part of it."""
    total: float
    language: float
    policy: float


class DoesNotFitError(Exception):
    """The step needs more memory than there is."""


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
    """The objective of one batch, in one of the ways."""
    batch, pick = make_batch(seq), fixed_thoughts()
    if way == "ours":
        return evaluate_objective(model, *batch, settings, pick=pick)
    return evaluate_quadratic(as_stock(model), *batch, settings, pick=pick, way=BASELINES[way])


def limit_memory() -> None:
    """Let allocations fail that this machine could not hold."""
    limit = int(MEMORY_SHARE * psutil.virtual_memory().available)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _start_of_peak() -> int:
    """Forget the peak so far: what loading needed is not the step's. Resident bytes now."""
    # Freed memory that the allocator still held would be used by the step and not be counted.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    """A figure of this process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"the kernel does not tell {name}")


def main() -> None:
    """Measure; `{"fits": false}` where memory does not suffice."""
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
    os._exit(0)  # taking gigabytes of graph apart would measure nothing


if __name__ == "__main__":
    main()
