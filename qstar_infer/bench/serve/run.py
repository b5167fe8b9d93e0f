"""Latencies of a server under load: requests arrive at random, at given rates, thinking and not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch

from qstar_infer.bench.hardware import load_average, this_machine, versions
from qstar_infer.bench.progress import Counter, OnCall, ignore_progress
from qstar_infer.bench.report import Header, LineChart, Report, Table
from qstar_infer.bench.serve.arrivals import poisson_arrivals
from qstar_infer.bench.serve.client import RequestRecord
from qstar_infer.bench.serve.load import check_client, model_of, random_text, send_all
from qstar_infer.bench.serve.server import running_server
from qstar_infer.bench.statistics import percentiles
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

MODES = {"plain": "not thinking", "thinking": "thinking"}
_PROMPTS_OF_A_SEED = 1_000_000
LATENCIES = {"ttft_s": "TTFT", "itl_s": "ITL", "e2e_s": "whole request"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    """Of the server that is started; not used with `url`."""
    url: str | None = None
    """Of a running server, ending in /v1. None: start one."""
    rates: Sequence[float] = (0.5, 1.0, 2.0)
    """Requests per second."""
    duration_s: float = 30.0
    """Time in which requests arrive; the last ones end later."""
    modes: Sequence[str] = tuple(MODES)
    prompt_words: int = 48
    max_tokens: int = 48
    ttft_limit_s: float = 2.0
    itl_limit_s: float = 0.2
    """Limits of goodput: time to the first token, and per token after it on average."""
    seed: int = 0
    threads: int | None = None


def run_serve(config: ServeConfig, *, on_call: OnCall = ignore_progress) -> Report:
    """Start a server unless one is given, then send the load of each rate and mode.

    Raises:
        ConfigError: no server answers, it did not start, or every request failed.
    """
    check_client()
    load_before = load_average()
    plans = {
        rate: poisson_arrivals(rate, config.duration_s, seed=config.seed) for rate in config.rates
    }
    counter = Counter(on_call, len(config.modes) * sum(map(len, plans.values())))
    prompts = new_prompts(config)
    with _server(config) as url:
        model = model_of(url)
        _warm_up(url, model, config, prompts)
        points = [
            _measure(config, url, model, mode, rate, arrivals, prompts, counter)
            for rate, arrivals in plans.items()
            for mode in config.modes
        ]
    return Report(
        header=_header(config, model, load_before),
        settings={
            "duration_s": config.duration_s,
            "prompt_words": config.prompt_words,
            "max_tokens": config.max_tokens,
            "ttft_limit_s": config.ttft_limit_s,
            "itl_limit_s": config.itl_limit_s,
            "seed": config.seed,
        },
        figures={"points": points},
        table=_table(points),
        notes=[
            f"an open loop with Poisson arrivals for {config.duration_s:g} s; prompts of "
            f"{config.prompt_words} words, {config.max_tokens} new tokens; p50 / p95 / p99",
            f"goodput: share of the requests with the first token within {config.ttft_limit_s:g} s "
            f"and {config.itl_limit_s:g} s per token after it",
            *({point["first_error"] for point in points if point["first_error"]}),
        ],
        chart=_chart(config, points),
    )


def _server(config: ServeConfig) -> AbstractContextManager[str]:
    if config.url is not None:
        return nullcontext(config.url.rstrip("/"))
    return running_server(config.engine_args, threads=config.threads)


def new_prompts(config: ServeConfig) -> Iterator[str]:
    """Prompts without end. Two are never alike, or the server would find one in its cache."""
    first = config.seed * _PROMPTS_OF_A_SEED
    return (random_text(config.prompt_words, seed=seed) for seed in count(first))


def _body(config: ServeConfig, model: str, mode: str, prompt: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": config.max_tokens,
        "temperature": 0.0,
        "ignore_eos": True,
    }
    return body if mode == "thinking" else body | {"num_thought_tokens": 0}


def _warm_up(url: str, model: str, config: ServeConfig, prompts: Iterator[str]) -> None:
    bodies = [_body(config, model, mode, next(prompts)) for mode in config.modes]
    records = send_all(url, [0.0] * len(bodies), bodies, on_call=lambda: None)
    errors = [record.error for record in records if record.error]
    if errors:
        raise ConfigError(f"the server at {url} refuses the requests of this test: {errors[0]}")


def _measure(
    config: ServeConfig,
    url: str,
    model: str,
    mode: str,
    rate: float,
    arrivals: Sequence[float],
    prompts: Iterator[str],
    on_call: Callable[[], None],
) -> dict[str, Any]:
    bodies = [_body(config, model, mode, next(prompts)) for _ in arrivals]
    records = send_all(url, arrivals, bodies, on_call=on_call)
    limits = {"ttft_s": config.ttft_limit_s, "gap_s": config.itl_limit_s}
    return {"mode": mode, "rate": rate} | summary(records, arrivals, **limits)


def summary(
    records: Sequence[RequestRecord], arrivals: Sequence[float], *, ttft_s: float, gap_s: float
) -> dict[str, Any]:
    """Percentiles, goodput and throughput of one load.

    Args:
        arrivals: seconds from the start, one for each record.
        ttft_s, gap_s: limits of goodput.
    """
    done = [record for record in records if record.error is None and record.end_s is not None]
    ends = [at + (each.end_s or 0.0) for at, each in zip(arrivals, records, strict=True)]
    good = [record.is_within(ttft_s=ttft_s, gap_s=gap_s) for record in records]
    errors = [record.error for record in records if record.error]
    return {
        "num_requests": len(records),
        "num_failed": len(records) - len(done),
        "first_error": errors[0] if errors else None,
        "ttft_s": percentiles([each.ttft_s for each in done if each.ttft_s is not None]),
        "itl_s": percentiles([gap for each in done for gap in each.gaps]),
        "e2e_s": percentiles([each.end_s for each in done if each.end_s is not None]),
        "tok_s": sum(record.num_tokens for record in records) / max(ends) if records else 0.0,
        "goodput": sum(good) / len(good) if good else None,
        "mean_prompt_tokens": sum(r.num_prompt_tokens for r in done) / len(done) if done else None,
    }


def _table(points: Sequence[Mapping[str, Any]]) -> Table:
    def cell(values: Mapping[str, float] | None) -> str | None:
        return None if values is None else " / ".join(f"{each:.3g}" for each in values.values())

    return Table(
        title="Latency under load",
        columns=(
            *("requests/s", "mode", "requests", "failed"),
            *(f"{name} (s)" for name in LATENCIES.values()),
            *("tokens/s", "goodput"),
        ),
        rows=[
            (
                f"{point['rate']:g}",
                MODES[point["mode"]],
                point["num_requests"],
                point["num_failed"],
                *(cell(point[name]) for name in LATENCIES),
                point["tok_s"],
                point["goodput"],
            )
            for point in points
        ],
    )


def _chart(config: ServeConfig, points: Sequence[Mapping[str, Any]]) -> LineChart:
    return LineChart(
        title="Time to the first token under load",
        x_label="requests per second",
        y_label="seconds",
        lines={
            f"{MODES[mode]}, {share}": [
                (point["rate"], point["ttft_s"][share])
                for point in points
                if point["mode"] == mode and point["ttft_s"] is not None
            ]
            for mode in config.modes
            for share in ("p50", "p95")
        },
    )


def _header(config: ServeConfig, model: str, load_before: float | None) -> Header:
    """Of another process's engine only the settings are known, and of a given server not even
    these."""
    machine = this_machine(torch.device("cpu"))
    args = config.engine_args
    is_ours = config.url is None
    return Header(
        machine={name: getattr(machine, name) for name in machine.__slots__},
        machine_line=machine.describe(),
        model=model,
        runner="as served" if is_ours else f"of {config.url}",
        dtype=args.dtype if is_ours else "unknown",
        quantization=args.quantization if is_ours else "unknown",
        kernel="as served" if is_ours else "unknown",
        num_thought_tokens=args.num_thought_tokens,
        versions=versions(),
        load_average=[load_before, load_average()],
    )
