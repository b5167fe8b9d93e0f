"""The commands that measure: steps of a model, Python, and servers beside the simulator."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.fleet.compare import BATCHES, ENGINE, Load, compare
from benchmarks.fleet.files import (
    CHECK_FILE,
    PYTHON_FILE,
    check_table,
    load_python_times,
    write_check_table,
    write_json,
)
from benchmarks.fleet.measure_front import measure_front
from benchmarks.fleet.measure_host import measure_host
from benchmarks.fleet.measure_steps import measure_steps as _measure_steps
from benchmarks.fleet.measured_time import fit_time
from qstar_infer.bench.hardware import load_average, versions
from qstar_infer.config import EngineConfig
from qstar_infer.engine_args import EngineArgs

_TOY = "tests/golden/A/checkpoint"
_LOADS = {
    "toy": Load(rates=(4.0, 16.0), duration_s=12.0, max_tokens=48),
    "default model": Load(rates=(0.5, 1.5, 3.0), duration_s=20.0, max_tokens=24),
}
_THREADS = 1
"""Of a server, so that the other core of a machine with two is left to the clients."""


def measure_steps(
    *,
    out: Annotated[Path, typer.Option(help="Gets the times, for --times.")],
    model: Annotated[
        str | None, typer.Option(help="As for `qstar serve`.", show_default="the default model")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of a step on a CPU.", min=1)] = None,
    max_tokens: Annotated[int, typer.Option(help="New tokens of each sequence.", min=2)] = 24,
) -> None:
    """Measure how long the steps of a model take on this machine."""
    engine = EngineConfig(prefix_caching=False)
    args = EngineArgs(model=model, threads=threads, engine=engine)
    steps = _measure_steps(args, batches=BATCHES, max_tokens=max_tokens, seed=1)
    step_time = fit_time(steps.steps)
    write_json(
        out,
        {
            "model": steps.name,
            "num_thought_tokens": steps.num_thought_tokens,
            "agreement": steps.agreement,
            "num_blocks": steps.num_blocks,
            "prefill_rows": steps.prefill_rows,
            "step_time": step_time.to_json(),
            "load_average": load_average(),
            "versions": versions(),
        },
    )
    console = Console()
    console.print(f"{len(steps.steps)} steps of {steps.name}, agreement {steps.agreement:.3f}")
    for rows, ms in zip(step_time.rows, step_time.ms, strict=True):
        console.print(f"{rows:5} rows {ms:9.2f} ms")


def measure_python(
    *,
    seconds: Annotated[float, typer.Option(help="Time of each of four loads.", min=0.5)] = 5.0,
) -> None:
    """Measure what HTTP and the scheduler need, whatever the model is."""
    before = load_average()
    front = measure_front(seconds=seconds)
    host = measure_host(max_tokens=100)
    write_json(
        PYTHON_FILE,
        {
            "front": front.to_json(),
            "host": host.to_json(),
            "load_average": [before, load_average()],
            "versions": versions(),
        },
    )
    console = Console()
    for load in front.loads:
        kind = "a stream" if load.stream else "a whole answer"
        console.print(
            f"{kind} of {load.tokens} tokens: {load.requests_per_s:.0f} requests/s, "
            f"{load.cpu_ms_per_request:.2f} ms of CPU each, {load.cores:.2f} cores"
        )
    console.print(front.time)
    console.print(host)


def check() -> None:
    """Measure servers of two models, and say what the simulator says of the same load."""
    before = load_average()
    front_time, _ = load_python_times()
    models = {}
    for name, load in _LOADS.items():
        args = EngineArgs(model=_TOY if name == "toy" else None, threads=_THREADS, engine=ENGINE)
        found = compare(args, load, front_time)
        models[name] = {
            "load": asdict(load),
            "threads": _THREADS,
            "num_thought_tokens": found.steps.num_thought_tokens,
            "agreement": found.steps.agreement,
            "num_blocks": found.steps.num_blocks,
            "num_steps": len(found.steps.steps),
            "step_time": found.step_time.to_json(),
            "points": found.points,
            "served": found.served,
        }
    results = {
        "load_average": [before, load_average()],
        "versions": versions(),
        "front_time": front_time.to_json(),
        "models": models,
    }
    write_json(CHECK_FILE, results)
    write_check_table(results)
    Console().print(check_table(results), soft_wrap=True)
