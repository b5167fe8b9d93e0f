"""Throughput of many sequences at once, beside the two ways of `transformers` to batch.

Each batch has prompts of different lengths. A time is that of the whole batch, from the prompts to
the last token of the last sequence. Prefix caches are off.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from qstar_infer.bench.engines import (
    WITHOUT_PREFIX_CACHE,
    EngineDecoder,
    check_thinks,
    open_engines,
    set_threads,
    tokenizer_of,
)
from qstar_infer.bench.hardware import load_average
from qstar_infer.bench.measure import Decode, Prompts, Way, fastest, take_turns, timed
from qstar_infer.bench.peers.stock import (
    DTYPES,
    StockContinuousBatching,
    StockGenerate,
    load_stock,
)
from qstar_infer.bench.progress import Counter, OnCall, ignore_progress
from qstar_infer.bench.prompts import make_prompt
from qstar_infer.bench.report import LineChart, Report, Table, ratios_of
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel

NAMES = {
    "padded": "transformers, padded generate",
    "continuous": "transformers, continuous batching",
    "plain": "ours, not thinking",
    "thinking": "ours, thinking",
}
_PROBE_TOKENS = 4
_PROMPT_LENGTHS = (16, 24, 32, 48)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    sizes: Sequence[int] = (1, 4, 16, 64)
    """Sequences at once."""
    max_tokens: int = 32
    """New tokens of each sequence."""
    repeats: int = 3
    threads: int | None = None


@dataclass(slots=True, kw_only=True)
class _Peers:
    """The ways of `transformers` for one size, in their best dtypes."""

    ways: dict[str, Way] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Why a way could not be measured."""


def run_batch(config: BatchConfig, *, on_call: OnCall = ignore_progress) -> Report:
    """Load the models, then measure each size.

    Raises:
        CheckpointError: a model cannot be loaded.
        ConfigError: a setting does not apply, or the model cannot think.
    """
    set_threads(config.threads)
    load_before = load_average()
    stocks = {dtype: load_stock(config.engine_args, dtype) for dtype in DTYPES}
    with open_engines(config.engine_args, {"served": WITHOUT_PREFIX_CACHE}) as engines:
        llm = engines.by_name["served"]
        check_thinks(llm)
        counter = Counter(on_call, len(config.sizes) * config.repeats * len(NAMES))
        points = {size: _measure(config, size, llm, stocks, counter) for size in config.sizes}
        header = engines.header("served", load_before=load_before)
    rates = {size: point["tok_s"] for size, point in points.items()}
    return Report(
        header=header,
        settings={
            "max_tokens": config.max_tokens,
            "repeats": config.repeats,
            "prompt_lengths": list(_PROMPT_LENGTHS),
        },
        figures={"sizes": {str(size): point for size, point in points.items()}},
        ratios=_ratios(rates),
        table=Table(
            title="Throughput (tokens/s, all sequences together)",
            columns=("way", *(f"{size} at once" for size in rates)),
            rows=[(NAMES[name], *(rate.get(name) for rate in rates.values())) for name in NAMES],
        ),
        notes=_notes(config, points),
        chart=LineChart(
            title="Many sequences at once",
            x_label="sequences",
            y_label="tokens per second, all together",
            lines={
                NAMES[name]: [(size, rate[name]) for size, rate in rates.items() if name in rate]
                for name in NAMES
            },
        ),
    )


def _measure(
    config: BatchConfig,
    size: int,
    llm: LLM,
    stocks: Mapping[str, QuietStarModel],
    counter: Counter,
) -> dict[str, Any]:
    prompts = _prompts(llm, size)
    ours = {
        "plain": EngineDecoder(llm=llm, num_tokens=config.max_tokens, num_thought_tokens=0),
        "thinking": EngineDecoder(llm=llm, num_tokens=config.max_tokens),
    }
    with ExitStack() as stack:
        peers = _open_peers(stack, stocks, prompts, config.max_tokens)
        ways = peers.ways | {name: timed(decoder) for name, decoder in ours.items()}
        take_turns(ways, [prompts], repeats=1)
        ours["thinking"].counts.clear()
        timings = take_turns(ways, [prompts], repeats=config.repeats, on_call=counter)
    return {
        "tok_s": {name: timing.median_tok_s for name, timing in timings.items()},
        "tok_s_of_repeats": {name: timing.tok_s for name, timing in timings.items()},
        "agreement": ours["thinking"].agreement,
        "dtype_of_peers": peers.dtypes,
        "not_measured": peers.missing,
    }


def _prompts(llm: LLM, size: int) -> Prompts:
    lengths = [_PROMPT_LENGTHS[index % len(_PROMPT_LENGTHS)] for index in range(size)]
    tokenize = tokenizer_of(llm)
    return [make_prompt(tokenize, length, seed=seed) for seed, length in enumerate(lengths)]


def _open_peers(
    stack: ExitStack, stocks: Mapping[str, QuietStarModel], prompts: Prompts, max_tokens: int
) -> _Peers:
    """Try each way in each dtype, and open it in the faster one; the stack closes what is open."""
    peers = _Peers()
    for name, opened in PEERS.items():
        tried: dict[str, Way] = {}
        with ExitStack() as probing:
            for dtype, model in stocks.items():
                decoder = probing.enter_context(opened(model, _PROBE_TOKENS))
                try:
                    decoder(prompts)  # warms it up as well
                except ConfigError as error:
                    peers.missing[f"{name} in {dtype}"] = str(error)
                else:
                    tried[dtype] = timed(decoder)
            rates = fastest(tried, prompts, repeats=1)
        for best in list(rates)[:1]:
            peers.dtypes[name] = best
            peers.ways[name] = timed(stack.enter_context(opened(stocks[best], max_tokens)))
    return peers


@contextmanager
def _padded(model: QuietStarModel, num_tokens: int) -> Iterator[Decode]:
    yield StockGenerate(model, num_tokens)


@contextmanager
def _continuous(model: QuietStarModel, num_tokens: int) -> Iterator[Decode]:
    with closing(StockContinuousBatching(model, num_tokens)) as decoder:
        yield decoder


PEERS = {"padded": _padded, "continuous": _continuous}


def _ratios(rates: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """By size, such as `plain_over_best_peer_16`."""
    ratios: dict[str, float] = {}
    for size, rate in rates.items():
        best = max((rate[name] for name in PEERS if name in rate), default=None)
        known = dict(rate) if best is None else {**rate, "best_peer": best}
        pairs = (("plain", "best_peer"), ("thinking", "best_peer"), ("thinking", "plain"))
        ratios |= {f"{name}_{size}": value for name, value in ratios_of(known, pairs).items()}
    return ratios


def _notes(config: BatchConfig, points: Mapping[int, Mapping[str, Any]]) -> list[str]:
    dtypes = [
        f"{size}: "
        + ", ".join(f"{name} {dtype}" for name, dtype in point["dtype_of_peers"].items())
        for size, point in points.items()
    ]
    missing = {
        f"{name} was not measured: {why}"
        for point in points.values()
        for name, why in point["not_measured"].items()
    }
    return [
        f"prompts of {min(_PROMPT_LENGTHS)} to {max(_PROMPT_LENGTHS)} tokens, {config.max_tokens} "
        f"new tokens each; whole batches, median of {config.repeats} rounds; prefix caches off",
        "transformers computes in the dtype that is faster here; " + "; ".join(dtypes),
        *sorted(missing),
    ]
