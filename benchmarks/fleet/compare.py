"""Holds the simulator against a real server: the same arrivals, the same lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet.cost import FrontTime
from benchmarks.fleet.measure_steps import MeasuredSteps, measure_steps
from benchmarks.fleet.measured_time import MeasuredTime, fit_time
from benchmarks.fleet.replica import ReplicaConfig
from benchmarks.fleet.simulate import simulate
from benchmarks.fleet.workload import Lengths, Workload
from qstar_infer.bench.progress import OnCall, ignore_progress
from qstar_infer.bench.serve.run import ServeConfig, run_serve
from qstar_infer.config import EngineConfig
from qstar_infer.engine_args import EngineArgs

ENGINE = EngineConfig(prefix_caching=False, max_prefill_rows=64)
"""Of server and simulator: no prefixes are shared, and the share of prefill is that of a CPU."""
BATCHES = (1, 2, 4, 8, 16, 32)
QUANTITIES = {
    "tok_s": "tokens/s",
    "ttft_s": "median TTFT (s)",
    "itl_s": "median inter-token latency (s)",
    "e2e_s": "median whole request (s)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a server did at each rate and mode, and what the simulator says it does."""

    steps: MeasuredSteps
    step_time: MeasuredTime
    server: dict[str, Any]
    """The report of `qstar bench serve`."""
    points: list[dict[str, Any]]
    """`measured` and `predicted` by quantity, with rate and mode."""


def compare(
    args: EngineArgs,
    front_time: FrontTime,
    *,
    rates: Sequence[float],
    duration_s: float,
    prompt_words: int,
    max_tokens: int,
    seed: int = 0,
    on_call: OnCall = ignore_progress,
) -> Comparison:
    """Measure the steps of an engine, then a server with the same settings, then simulate it.

    Args:
        args: with `ENGINE` as its engine.
    """
    steps = measure_steps(args, batches=BATCHES, max_tokens=max_tokens, seed=seed + 1)
    config = ServeConfig(
        engine_args=args,
        rates=rates,
        duration_s=duration_s,
        prompt_words=prompt_words,
        max_tokens=max_tokens,
        seed=seed,
        threads=args.threads,
    )
    server = run_serve(config, on_call=on_call).to_json()
    step_time = fit_time(steps.steps)
    replica = ReplicaConfig(
        engine=ENGINE, num_blocks=steps.num_blocks, step_time=step_time, front_time=front_time
    )
    return Comparison(
        steps=steps,
        step_time=step_time,
        server=server,
        points=[
            predict(
                point,
                replica,
                workload_of(
                    point,
                    server["settings"],
                    num_thought_tokens=steps.num_thought_tokens,
                    agreement=steps.agreement,
                ),
            )
            for point in server["points"]
        ],
    )


def workload_of(
    point: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    num_thought_tokens: int,
    agreement: float,
) -> Workload:
    """The load of one point of `qstar bench serve`; its prompts count as long as their mean."""
    return Workload(
        rate=point["rate"],
        duration_s=settings["duration_s"],
        prompt_tokens=Lengths(point["mean_prompt_tokens"]),
        output_tokens=Lengths(settings["max_tokens"]),
        num_thought_tokens=num_thought_tokens if point["mode"] == "thinking" else 0,
        agreement=agreement,
        seed=settings["seed"],
    )


def predict(point: Mapping[str, Any], config: ReplicaConfig, workload: Workload) -> dict[str, Any]:
    """Measured and predicted quantities of one point."""
    found = simulate(config, workload).to_json()
    return {
        "rate": point["rate"],
        "mode": point["mode"],
        "num_requests": point["num_requests"],
        "num_failed": point["num_failed"],
        "measured": {name: _middle(point[name]) for name in QUANTITIES},
        "predicted": {name: _middle(found[name]) for name in QUANTITIES},
    }


def _middle(value: Any) -> float | None:
    """The median of percentiles; a plain number is itself."""
    return float(value["p50"]) if isinstance(value, Mapping) else value
