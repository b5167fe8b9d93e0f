"""Decoding speed of one sequence: our ways to decode beside those of others, on the same weights.

All decode greedily (but `sampled`), and a time is that of a whole call, from the prompt to the last
token. Our engine runs as `qstar serve` would with these settings; `transformers` computes in the
dtype that is faster here. Prefix caches are off: the ways would find each other's prompts.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qstar_infer.bench.engines import (
    WITHOUT_PREFIX_CACHE,
    EngineDecoder,
    Engines,
    check_thinks,
    force_mixing_weight,
    open_engines,
    set_threads,
)
from qstar_infer.bench.hardware import load_average
from qstar_infer.bench.measure import Prompts, Timing, Way, fastest, share_equal, take_turns, timed
from qstar_infer.bench.peers.llama_cpp import open_llama_cpp
from qstar_infer.bench.peers.paper import PaperDecoder
from qstar_infer.bench.peers.stock import DTYPES, StockGenerate, load_stock
from qstar_infer.bench.progress import Counter, OnCall, ignore_progress
from qstar_infer.bench.prompts import load_prompts
from qstar_infer.bench.report import BarChart, Report, Table, ratios_of
from qstar_infer.engine_args import EngineArgs
from qstar_infer.model.quiet_star import QuietStarModel

NAMES = {
    "transformers": "transformers generate",
    "llama_cpp": "llama.cpp's own loop",
    "plain": "ours, not thinking",
    "paper": "thinking, the paper's way",
    "sequential": "ours, thinking sequentially",
    "full_depth": "ours, wavefront at full depth",
    "wavefront": "ours, wavefront",
    "sampled": "ours, wavefront, temperature 1",
}
PAIRS = (
    *(("plain", "transformers"), ("wavefront", "transformers"), ("wavefront", "sequential")),
    *(("wavefront", "plain"), ("wavefront", "full_depth"), ("wavefront", "paper")),
    *(("sampled", "wavefront"), ("plain", "llama_cpp")),
)
_PROBE_TOKENS = 12
_PAPER_TOKENS = 2
"""New tokens of the paper's way, which is slow. It decodes them in the middle of each text, where
its prefix is as long as on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    mixing_weight: float | None = None
    """Replaces the talk head by this constant; None keeps the model's own."""
    max_tokens: int = 48
    """New tokens per call."""
    repeats: int = 3
    threads: int | None = None
    """CPU threads; None: torch's default."""


def run_decode(config: DecodeConfig, *, on_call: OnCall = ignore_progress) -> Report:
    """Load the models, warm up, measure.

    Raises:
        CheckpointError: a model cannot be loaded.
        ConfigError: a setting does not apply, or the model cannot think.
    """
    set_threads(config.threads)
    load_before = load_average()
    # A copy for each dtype; the slower one is dropped before our engines size their caches.
    stocks = {dtype: _load_stock(config, dtype) for dtype in DTYPES}
    tokenizer = stocks[DTYPES[0]].tokenizer
    prompts = [list(tokenizer(text)["input_ids"]) for text in load_prompts()]
    peers, probe = _choose_peers(stocks, config, prompts[:1])
    stocks.clear()
    with (
        _open_ours(config) as (engines, ours),
        open_llama_cpp(
            config.engine_args, num_tokens=config.max_tokens, context_len=_longest(prompts, config)
        ) as (llama_cpp, why_no_llama_cpp),
    ):
        ways: dict[str, Way] = {**peers, **{name: timed(each) for name, each in ours.items()}}
        if llama_cpp is not None:
            ways["llama_cpp"] = timed(llama_cpp)
        ways = {name: ways[name] for name in NAMES if name in ways}
        texts = [ours["wavefront"]([prompt])[0] for prompt in prompts]
        ways["paper"] = _in_the_middle(ways["paper"], prompts, texts)
        take_turns(ways, [prompts[:1]], repeats=1)
        ours["wavefront"].counts.clear()
        timings = take_turns(
            ways,
            [[prompt] for prompt in prompts],
            repeats=config.repeats,
            on_call=Counter(on_call, config.repeats * len(prompts) * len(ways)),
        )
        header = engines.header("served", load_before=load_before)
        figures = _figures(prompts, timings, ours["wavefront"], probe)
    rates = {name: timing.median_tok_s for name, timing in timings.items()}
    return Report(
        header=header,
        settings=_settings(config),
        figures=figures,
        ratios=_ratios(rates),
        table=_table(rates),
        notes=_notes(config, figures, why_no_llama_cpp),
        chart=BarChart(
            title="Decoding one sequence",
            y_label="tokens per second",
            bars={NAMES[name]: rate for name, rate in rates.items()},
        ),
    )


def _load_stock(config: DecodeConfig, dtype: str) -> QuietStarModel:
    model = load_stock(config.engine_args, dtype)
    if config.mixing_weight is not None:
        force_mixing_weight(model.thought_parts, config.mixing_weight)
    return model


def _choose_peers(
    stocks: Mapping[str, QuietStarModel], config: DecodeConfig, prompts: Prompts
) -> tuple[dict[str, Way], dict[str, dict[str, float]]]:
    """`transformers` and the paper's way in their best dtypes, and the rates of all dtypes."""

    def generate(model: QuietStarModel, num_tokens: int) -> Way:
        return timed(StockGenerate(model, num_tokens))

    def paper(model: QuietStarModel, num_tokens: int) -> Way:
        return timed(PaperDecoder(model=model, num_tokens=num_tokens))

    makers = {"transformers": (generate, _PROBE_TOKENS, config.max_tokens)}
    if stocks[DTYPES[0]].can_think:
        makers["paper"] = (paper, 1, min(_PAPER_TOKENS, config.max_tokens // 2))
    peers: dict[str, Way] = {}
    probe: dict[str, dict[str, float]] = {}
    for name, (make, num_probe_tokens, num_tokens) in makers.items():
        tried = {dtype: make(model, num_probe_tokens) for dtype, model in stocks.items()}
        probe[name] = fastest(tried, prompts)
        peers[name] = make(stocks[next(iter(probe[name]))], num_tokens)
    return peers, probe


def _in_the_middle(way: Way, prompts: Prompts, texts: Prompts) -> Way:
    """The same way, but going on behind the first half of each prompt's text."""
    begun = {
        tuple(prompt): prompt + ids[: len(ids) // 2]
        for prompt, ids in zip(prompts, texts, strict=True)
    }
    return lambda asked: way([begun[tuple(prompt)] for prompt in asked])


@contextmanager
def _open_ours(config: DecodeConfig) -> Iterator[tuple[Engines, dict[str, EngineDecoder]]]:
    args = config.engine_args
    one = {"max_num_seqs": 1} | WITHOUT_PREFIX_CACHE
    variants: dict[str, dict[str, Any]] = {
        "sequential": {"speculation": "off"} | one,
        "full_depth": {"speculation": args.engine.max_thought_tokens} | one,
        "served": WITHOUT_PREFIX_CACHE,
    }
    with open_engines(args, variants, mixing_weight=config.mixing_weight) as engines:
        served, count = engines.by_name["served"], config.max_tokens
        check_thinks(served)
        decoders = {"plain": EngineDecoder(llm=served, num_tokens=count, num_thought_tokens=0)}
        for name, llm in {**engines.by_name, "wavefront": served}.items():
            decoders[name] = EngineDecoder(llm=llm, num_tokens=count)
        decoders["sampled"] = EngineDecoder(llm=served, num_tokens=count, temperature=1.0)
        del decoders["served"]
        yield engines, decoders


def _figures(
    prompts: Prompts,
    timings: Mapping[str, Timing],
    wavefront: EngineDecoder,
    probe: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    outputs = {name: timing.outputs for name, timing in timings.items()}
    middle, num_paper = len(outputs["wavefront"][0]) // 2, len(outputs["paper"][0])
    begun = [ids[middle : middle + num_paper] for ids in outputs["wavefront"]]
    return {
        **{f"{name}_tok_s": timing.median_tok_s for name, timing in timings.items()},
        "agreement": wavefront.agreement,
        "passes_per_token": wavefront.passes_per_token,
        "tok_s_of_repeats": {name: timing.tok_s for name, timing in timings.items()},
        "wavefront_equals_sequential": share_equal(outputs["wavefront"], outputs["sequential"]),
        "wavefront_equals_paper": share_equal(begun, outputs["paper"]),
        "plain_equals_transformers": share_equal(outputs["plain"], outputs["transformers"]),
        "dtype_of_peers": {name: next(iter(rates)) for name, rates in probe.items()},
        "probe_tok_s": {name: dict(rates) for name, rates in probe.items()},
        "num_prompts": len(prompts),
        "num_prompt_tokens": sum(map(len, prompts)),
    }


def _ratios(rates: Mapping[str, float]) -> dict[str, float]:
    best_fixed = max(rates["sequential"], rates["full_depth"])
    return ratios_of(rates, PAIRS) | {"auto_over_best_fixed": rates["wavefront"] / best_fixed}


def _table(rates: Mapping[str, float]) -> Table:
    return Table(
        title="Decoding speed",
        columns=("decoder", "tokens/s", "x transformers", "x sequential"),
        rows=[
            (NAMES[name], rate, rate / rates["transformers"], rate / rates["sequential"])
            for name, rate in rates.items()
        ],
    )


def _settings(config: DecodeConfig) -> dict[str, Any]:
    return {
        "max_tokens": config.max_tokens,
        "repeats": config.repeats,
        "mixing_weight": config.mixing_weight,
    }


def _notes(
    config: DecodeConfig, figures: Mapping[str, Any], why_no_llama_cpp: str | None
) -> list[str]:
    agreement = figures["agreement"]
    weight = config.mixing_weight
    notes = [
        f"agreement {'no drafts' if agreement is None else f'{agreement:.3f}'}, "
        f"{figures['passes_per_token']:.2f} passes per token"
        + ("" if weight is None else f", mixing weight {weight:g}"),
        f"same text: wavefront and sequential {figures['wavefront_equals_sequential']:.0%}, "
        f"plain and transformers {figures['plain_equals_transformers']:.0%} of the prompts",
        f"transformers computes in {figures['dtype_of_peers']['transformers']}, the paper's way in "
        f"{figures['dtype_of_peers']['paper']}: the faster here",
        f"one sequence, {figures['num_prompts']} prompts of {figures['num_prompt_tokens']} tokens "
        f"in all, {config.max_tokens} new tokens each (the paper's way {_PAPER_TOKENS} in the "
        f"middle); whole calls, median of {config.repeats} rounds",
    ]
    if why_no_llama_cpp is not None:
        notes.append(f"llama.cpp's own loop was not measured: {why_no_llama_cpp}")
    return notes


def _longest(prompts: Prompts, config: DecodeConfig) -> int:
    return max(map(len, prompts)) + config.max_tokens
