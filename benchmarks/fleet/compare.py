"""Holds the simulator against a real server: the same arrivals, the same lengths."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.fleet.cost import FrontTime
from benchmarks.fleet.measure_steps import MeasuredSteps, measure_steps
from benchmarks.fleet.measured_time import MeasuredTime, fit_time
from benchmarks.fleet.replica import ReplicaConfig
from benchmarks.fleet.simulate import Outcome, simulate
from benchmarks.fleet.workload import Lengths, Workload
from qstar_infer.bench.hardware import load_average
from qstar_infer.bench.serve.run import MODES, ServeConfig, run_serve
from qstar_infer.bench.serve.server import running_server
from qstar_infer.config import EngineConfig
from qstar_infer.engine_args import EngineArgs

ENGINE = EngineConfig(prefix_caching=False, max_prefill_rows=64)
"""Of server and simulator: no prefixes are shared, and the share of prefill is that of a CPU."""
BATCHES = (1, 2, 4, 8, 16, 32)
QUANTITIES = ("tok_s", "ttft_s", "itl_s", "e2e_s")
"""Tokens per second, and the medians of three latencies."""
_LEVELS = (0.2, 20.0)
_LEVEL_ROUNDS = 8
_STEP_TIME = re.compile(r"^qstar:step_time_seconds_(sum|count)\S* (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What servers are measured with."""

    rates: Sequence[float]
    duration_s: float
    max_tokens: int
    prompt_words: int = 48
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a server did at each rate and mode, and what the simulator says it does."""

    steps: MeasuredSteps
    step_time: MeasuredTime
    served: list[dict[str, Any]]
    """Points of `qstar bench serve`, with the mean time of a step."""
    points: list[dict[str, Any]]
    """From `judge`, one for each of `served`."""


def compare(args: EngineArgs, load: Load, front_time: FrontTime) -> Comparison:
    """Measure the steps of an engine, then a server with the same settings, then simulate it.

    Args:
        args: with `ENGINE` as its engine.
    """
    steps = measure_steps(args, batches=BATCHES, max_tokens=load.max_tokens, seed=load.seed + 1)
    step_time = fit_time(steps.steps)
    served = serve(args, load)
    workloads = [
        workload_of(
            point,
            load,
            num_thought_tokens=steps.num_thought_tokens,
            agreement=steps.agreement,
        )
        for point in served
    ]
    return Comparison(
        steps=steps,
        step_time=step_time,
        served=served,
        points=[
            judge(point, workload, step_time, front_time, num_blocks=steps.num_blocks)
            for point, workload in zip(served, workloads, strict=True)
        ],
    )


def serve(args: EngineArgs, load: Load) -> list[dict[str, Any]]:
    """Start a server and send it the load, thinking and not."""
    points = []
    with running_server(args, threads=args.threads) as url:
        for rate in load.rates:
            for mode in MODES:
                sum_before, count_before = _step_time(url)
                config = ServeConfig(
                    url=url,
                    rates=(rate,),
                    modes=(mode,),
                    duration_s=load.duration_s,
                    prompt_words=load.prompt_words,
                    max_tokens=load.max_tokens,
                    seed=load.seed,
                )
                (point,) = run_serve(config).figures["points"]
                sum_s, count = _step_time(url)
                mean_s = (sum_s - sum_before) / (count - count_before)
                points.append(point | {"mean_step_s": mean_s, "load_average": load_average()})
    return points


def workload_of(
    point: Mapping[str, Any], load: Load, *, num_thought_tokens: int, agreement: float
) -> Workload:
    """The load of one point; its prompts count as long as their mean."""
    return Workload(
        rate=point["rate"],
        duration_s=load.duration_s,
        prompt_tokens=Lengths(point["mean_prompt_tokens"]),
        output_tokens=Lengths(load.max_tokens),
        num_thought_tokens=num_thought_tokens if point["mode"] == "thinking" else 0,
        agreement=agreement,
        seed=load.seed,
    )


def judge(
    point: Mapping[str, Any],
    workload: Workload,
    step_time: MeasuredTime,
    front_time: FrontTime,
    *,
    num_blocks: int,
) -> dict[str, Any]:
    """Measured and predicted quantities of one point.

    `predicted` takes the steps as they were measured before. `predicted_at_level` multiplies their
    time by one factor, `level`, with which they take as long on average as the server's own steps
    did: on a machine with other work, speed changes from minute to minute.
    """

    def outcome_at(level: float) -> Outcome:
        config = ReplicaConfig(
            engine=ENGINE,
            num_blocks=num_blocks,
            step_time=step_time.scaled(level),
            front_time=front_time,
        )
        return simulate(config, workload)

    level = find_level(lambda level: outcome_at(level).step_ms, 1000 * point["mean_step_s"])
    return {
        "rate": point["rate"],
        "mode": point["mode"],
        "num_requests": point["num_requests"],
        "num_failed": point["num_failed"],
        "measured": quantities(point),
        "predicted": quantities(outcome_at(1.0).to_json()),
        "level": level,
        "predicted_at_level": quantities(outcome_at(level).to_json()),
    }


def find_level(step_ms: Callable[[float], float], measured_ms: float) -> float:
    """The factor at which the mean step takes as long as measured, by halving an interval.

    Slower steps meet more requests at once, so the mean rises faster than the factor.
    """
    low, high = _LEVELS
    for _ in range(_LEVEL_ROUNDS):
        middle = math.sqrt(low * high)
        if step_ms(middle) < measured_ms:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def quantities(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Medians of percentiles; a plain number is itself."""
    return {
        name: value["p50"] if isinstance(value := values[name], Mapping) else value
        for name in QUANTITIES
    }


def _step_time(url: str) -> tuple[float, float]:
    """Seconds of all steps of a server, and their number."""
    text = httpx.get(f"{url.removesuffix('/v1')}/metrics").raise_for_status().text
    found = dict(_STEP_TIME.findall(text))
    return float(found["sum"]), float(found["count"])
