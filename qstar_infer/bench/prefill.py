"""How fast prompts are read, beside a forward pass of `transformers`, and read a second time.

Ours is the time to the first token (TTFT), not thinking. Every prompt is new, so that only its
second request finds it in the prefix cache. Scoring does not use the cache.
"""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstar_infer.bench.engines import check_thinks, open_engines, set_threads, tokenizer_of
from qstar_infer.bench.hardware import load_average
from qstar_infer.bench.measure import Prompts, Sample, Timing, Way, fastest, take_turns
from qstar_infer.bench.peers.stock import DTYPES, StockForward, load_stock
from qstar_infer.bench.progress import Counter, OnCall, ignore_progress
from qstar_infer.bench.prompts import make_prompt
from qstar_infer.bench.report import Header, LineChart, Report, Table
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams

NAMES = {
    "transformers": "transformers forward",
    "first": "ours, first time",
    "again": "ours, the same prompt again",
}
SCORE_NAMES = {
    "logits": "transformers forward, all logits",
    "scored": "ours, prompt scored, not thinking",
    "scored_thinking": "ours, prompt scored, thinking",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    lengths: Sequence[int] = (128, 1000, 4096, 8192)
    """Tokens of a prompt; one that leaves no room for a token of output is cut."""
    scores: bool = False
    """Also score the prompts (`prompt_logprobs`)."""
    repeats: int = 3
    threads: int | None = None

    @property
    def names(self) -> dict[str, str]:
        """What is compared."""
        return NAMES | SCORE_NAMES if self.scores else NAMES


def run_prefill(config: PrefillConfig, *, on_call: OnCall = ignore_progress) -> Report:
    """Load the models, then measure each length.

    Raises:
        CheckpointError: a model cannot be loaded.
        ConfigError: a setting does not apply, or a length exceeds the model's context.
    """
    set_threads(config.threads)
    load_before = load_average()
    with open_engines(config.engine_args, {"served": {}}) as engines:
        llm = engines.by_name["served"]
        prompts = {length: _prompts(config, length, llm) for length in config.lengths}
        dtype, forward = _choose_forward(config, prompts[min(prompts)][:1])
        ways: dict[str, Way] = {
            "transformers": _timed_prompt(forward),
            "first": _time_to_first_token(llm),
            "again": _time_to_first_token(llm),
        }
        if config.scores:
            check_thinks(llm)
            ways["logits"] = _timed_prompt(StockForward(forward.model, has_all_logits=True))
            ways["scored"] = _time_to_score(llm, num_thought_tokens=0)
            ways["scored_thinking"] = _time_to_score(llm)
        take_turns(ways, [_new_prompt(min(prompts), llm, seed=-1)], repeats=1)
        counter = Counter(on_call, len(config.lengths) * config.repeats * len(ways))
        points = {
            length: _point(
                [take_turns(ways, [[each]], repeats=1, on_call=counter) for each in made],
                config.names,
            )
            for length, made in prompts.items()
        }
        header = engines.header("served", load_before=load_before)
    return _report(config, points, dtype, header)


def _report(
    config: PrefillConfig, points: Mapping[int, Mapping[str, Any]], dtype: str, header: Header
) -> Report:
    rates = {length: point["tok_s"] for length, point in points.items()}
    return Report(
        header=header,
        settings={"repeats": config.repeats},
        figures={
            "lengths": {str(length): point for length, point in points.items()},
            "dtype_of_transformers": dtype,
        },
        ratios={
            **{
                f"ttft_first_over_again_{n}": rate["again"] / rate["first"]
                for n, rate in rates.items()
            },
            **{
                f"first_over_transformers_{n}": r["first"] / r["transformers"]
                for n, r in rates.items()
            },
            **(_score_ratios(rates, header.num_thought_tokens or 0) if config.scores else {}),
        },
        table=Table(
            title="Reading prompts (tokens of the prompt/s, to the first new token)",
            columns=("way", *(f"{length} tokens" for length in rates)),
            rows=[
                (title, *(rate[name] for rate in rates.values()))
                for name, title in config.names.items()
            ],
        ),
        notes=[
            f"new prompts in each of {config.repeats} rounds, medians; transformers computes in "
            f"{dtype}, which is faster at {min(config.lengths)} tokens"
        ],
        chart=LineChart(
            title="Reading prompts",
            x_label="tokens of the prompt",
            y_label="tokens per second",
            lines={
                title: [(length, rate[name]) for length, rate in rates.items()]
                for name, title in config.names.items()
            },
        ),
    )


def _score_ratios(
    rates: Mapping[int, Mapping[str, float]], num_thought_tokens: int
) -> dict[str, float]:
    """Speed of scoring beside one pass, and of thinking beside the thought length + 2 passes."""
    ratios = {}
    for length, rate in rates.items():
        num_passes = num_thought_tokens + 2
        ratios[f"scored_over_transformers_{length}"] = rate["scored"] / rate["logits"]
        ratios[f"scored_thinking_over_{num_passes}_passes_of_transformers_{length}"] = (
            rate["scored_thinking"] * num_passes / rate["logits"]
        )
    return ratios


def _prompts(config: PrefillConfig, length: int, llm: LLM) -> list[list[int]]:
    """A prompt for each repeat."""
    return [_new_prompt(length, llm, seed=seed)[0] for seed in range(config.repeats)]


def _new_prompt(length: int, llm: LLM, *, seed: int) -> Prompts:
    most = llm.model_info.max_model_len
    reserve = llm.model_info.num_thought_tokens + 2
    if length > most + reserve:
        raise ConfigError(f"--lengths {length}: this model's context has {most + reserve} tokens")
    return [make_prompt(tokenizer_of(llm), min(length, most - 1), seed=1000 * length + seed)]


def _choose_forward(config: PrefillConfig, prompts: Prompts) -> tuple[str, StockForward]:
    """The forward pass of transformers in its best dtype, and that dtype."""
    forwards = {dtype: StockForward(load_stock(config.engine_args, dtype)) for dtype in DTYPES}
    rates = fastest({dtype: _timed_prompt(each) for dtype, each in forwards.items()}, prompts)
    best = next(iter(rates))
    return best, forwards[best]


def _timed_prompt(forward: StockForward) -> Way:
    def call(prompts: Prompts) -> Sample:
        started = time.perf_counter()
        forward(prompts)
        seconds = time.perf_counter() - started
        return Sample(num_tokens=sum(map(len, prompts)), seconds=seconds)

    return call


def _time_to_first_token(llm: LLM) -> Way:
    return _timed_request(
        llm, SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True, num_thought_tokens=0)
    )


def _time_to_score(llm: LLM, *, num_thought_tokens: int | None = None) -> Way:
    return _timed_request(
        llm,
        SamplingParams(
            seed=0, max_tokens=0, prompt_logprobs=0, num_thought_tokens=num_thought_tokens
        ),
    )


def _timed_request(llm: LLM, params: SamplingParams) -> Way:
    def call(prompts: Prompts) -> Sample:
        started = time.perf_counter()
        llm.generate(list(prompts), params)
        seconds = time.perf_counter() - started
        return Sample(num_tokens=sum(map(len, prompts)), seconds=seconds)

    return call


def _point(rounds: Sequence[dict[str, Timing]], names: Iterable[str]) -> dict[str, Any]:
    """Medians over rounds of one call each."""
    rates = {name: [timings[name].tok_s[0] for timings in rounds] for name in names}
    return {
        "tok_s": {name: statistics.median(values) for name, values in rates.items()},
        "tok_s_of_repeats": rates,
    }
