"""Decoding speed against the length of the context, beside `generate` of `transformers`.

Only decoding is timed: our stream from its first token on, and `generate` with a cache that holds
the prompt already. At a length of 2,048 the last token decoded is number 2,048.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstar_infer.bench.engines import (
    EngineDecoder,
    check_thinks,
    open_engines,
    set_threads,
    tokenizer_of,
)
from qstar_infer.bench.hardware import load_average
from qstar_infer.bench.measure import Way, fastest, take_turns, timed
from qstar_infer.bench.peers.stock import DTYPES, StockCache, load_stock
from qstar_infer.bench.progress import Counter, OnCall, ignore_progress
from qstar_infer.bench.prompts import make_prompt
from qstar_infer.bench.report import LineChart, Report, Table, ratios_of
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel

NAMES = {
    "transformers": "transformers generate",
    "plain": "ours, not thinking",
    "thinking": "ours, thinking",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    lengths: Sequence[int] = (256, 2048, 8192)
    """Tokens of context, prompt and output together."""
    max_tokens: int = 24
    """New tokens per call."""
    repeats: int = 3
    threads: int | None = None


def run_context(config: ContextConfig, *, on_call: OnCall = ignore_progress) -> Report:
    """Load the models, then measure each length.

    Raises:
        CheckpointError: a model cannot be loaded.
        ConfigError: a setting does not apply, a length exceeds the model's context, or the model
            cannot think.
    """
    set_threads(config.threads)
    load_before = load_average()
    with open_engines(config.engine_args, {"served": {}}) as engines:
        llm = engines.by_name["served"]
        check_thinks(llm)
        _check_lengths(config, llm)
        dtype = _best_dtype(config, llm)
        stock = load_stock(config.engine_args, dtype)
        counter = Counter(on_call, len(config.lengths) * config.repeats * len(NAMES))
        points = {
            length: _measure(config, length, llm, stock, counter) for length in config.lengths
        }
        header = engines.header("served", load_before=load_before)
    rates = {length: point["tok_s"] for length, point in points.items()}
    return Report(
        header=header,
        settings={"max_tokens": config.max_tokens, "repeats": config.repeats},
        figures={
            "lengths": {str(length): point for length, point in points.items()},
            "dtype_of_transformers": dtype,
        },
        ratios=_ratios(rates),
        table=Table(
            title="Decoding speed by context (tokens/s)",
            columns=("decoder", *(f"{length} tokens" for length in rates)),
            rows=[(NAMES[name], *(rate[name] for rate in rates.values())) for name in NAMES],
        ),
        notes=[
            f"one sequence, {config.max_tokens} new tokens up to each length, without the time "
            f"for the prompt; median of {config.repeats} rounds",
            f"transformers computes in {dtype}, which is faster at {min(config.lengths)} tokens; "
            f"this model's context is {llm.model_info.max_model_len} tokens with its thoughts",
        ],
        chart=LineChart(
            title="Decoding speed by context",
            x_label="tokens of context",
            y_label="tokens per second",
            lines={
                NAMES[name]: [(length, rate[name]) for length, rate in rates.items()]
                for name in NAMES
            },
        ),
    )


def _check_lengths(config: ContextConfig, llm: LLM) -> None:
    # A thought behind the last token needs positions of its own.
    reserve = llm.model_info.num_thought_tokens + 2
    most = llm.model_info.max_model_len + reserve
    for length in config.lengths:
        if not config.max_tokens + 1 < length <= most:
            raise ConfigError(
                f"--lengths {length}: it must be more than --max-tokens and one "
                f"({config.max_tokens + 1}) and at most this model's context, {most}"
            )


def _prompt(config: ContextConfig, length: int, llm: LLM) -> list[int]:
    longest = llm.model_info.max_model_len - config.max_tokens
    num_tokens = min(length - config.max_tokens, longest)
    return make_prompt(tokenizer_of(llm), num_tokens, seed=length)


def _best_dtype(config: ContextConfig, llm: LLM) -> str:
    prompt = _prompt(config, min(config.lengths), llm)
    tried: dict[str, Way] = {}
    for dtype in DTYPES:
        decoder = StockCache(load_stock(config.engine_args, dtype), config.max_tokens)
        decoder.prefill(prompt)
        tried[dtype] = timed(decoder)
    return next(iter(fastest(tried, [prompt])))


def _measure(
    config: ContextConfig, length: int, llm: LLM, stock: QuietStarModel, counter: Counter
) -> dict[str, Any]:
    prompt = _prompt(config, length, llm)
    peer = StockCache(stock, config.max_tokens)
    peer.prefill(prompt)
    plain = EngineDecoder(llm=llm, num_tokens=config.max_tokens, num_thought_tokens=0)
    thinking = EngineDecoder(llm=llm, num_tokens=config.max_tokens)
    ways: dict[str, Way] = {
        "transformers": timed(peer),
        "plain": plain.time_after_first,
        "thinking": thinking.time_after_first,
    }
    timings = take_turns(ways, [[prompt]], repeats=config.repeats, on_call=counter)
    return {
        "num_prompt_tokens": len(prompt),
        "tok_s": {name: timing.median_tok_s for name, timing in timings.items()},
        "tok_s_of_repeats": {name: timing.tok_s for name, timing in timings.items()},
    }


def _ratios(rates: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Each way at the longest context over itself at the shortest, and ours over theirs."""
    short, long = min(rates), max(rates)
    ratios = {
        f"{name}_longest_over_shortest": rates[long][name] / rates[short][name] for name in NAMES
    }
    pairs = (("plain", "transformers"), ("thinking", "transformers"), ("thinking", "plain"))
    for length, rate in rates.items():
        ratios |= {f"{name}_{length}": value for name, value in ratios_of(rate, pairs).items()}
    return ratios
