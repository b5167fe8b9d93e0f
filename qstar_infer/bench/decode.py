"""Decoding speed at batch 1: `transformers`, ours not thinking, and ours thinking in two ways.

All four decode greedily, the same number of tokens, from the same weights in the same dtype. A time
is that of a whole call, prompt in and all tokens out.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import torch

from qstar_infer.bench.decoders import (
    EngineDecoder,
    StockDecoder,
    force_mixing_weight,
    stock_copy,
)
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.bench.measure import Decoder, Timing, measure, share_equal
from qstar_infer.bench.report import DecodeReport, DecodeSettings, load_prompts
from qstar_infer.checkpoint import load_model
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel

WARM_UP_PROMPTS = 1


def run_decode(
    settings: DecodeSettings, *, on_call: Callable[[int, int], None] = lambda _done, _of: None
) -> DecodeReport:
    """Load the model, warm up, measure.

    Args:
        settings: what to measure.
        on_call: called after each call with the calls done and the calls in all.

    Raises:
        ConfigError: the model cannot think.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model = load_model(settings.model, dtype=settings.dtype, device=settings.device)
    if settings.mixing_weight is not None:
        force_mixing_weight(model, settings.mixing_weight)
    stock = StockDecoder(backbone=stock_copy(model.backbone), num_tokens=settings.max_tokens)
    with closing(_engine(model, "auto")) as fast, closing(_engine(model, "off")) as slow:
        if not fast.model_info.num_thought_tokens:
            raise ConfigError(
                f"{fast.model_info.name} cannot think; `qstar init` adds what it needs"
            )
        ours = {
            "plain": EngineDecoder(llm=fast, num_tokens=settings.max_tokens, num_thought_tokens=0),
            "sequential": EngineDecoder(llm=slow, num_tokens=settings.max_tokens),
            "wavefront": EngineDecoder(llm=fast, num_tokens=settings.max_tokens),
        }
        prompts = [list(model.tokenizer(text)["input_ids"]) for text in load_prompts()]
        decoders: dict[str, Decoder] = {"transformers": stock, **ours}
        measure(decoders, prompts[:WARM_UP_PROMPTS], repeats=1)
        ours["wavefront"].counts.clear()
        num_calls = settings.repeats * len(prompts) * len(decoders)
        timings = measure(
            decoders,
            prompts,
            repeats=settings.repeats,
            on_call=lambda done: on_call(done, num_calls),
        )
        return _report(settings, fast, prompts, timings, ours["wavefront"].counts)


def _engine(model: QuietStarModel, speculation: str) -> LLM:
    # One sequence at a time: two pools, one for each engine, then stay small.
    return LLM(model=model, speculation=speculation, max_num_seqs=1)


def _report(
    settings: DecodeSettings,
    llm: LLM,
    prompts: Sequence[list[int]],
    timings: Mapping[str, Timing],
    counts: Mapping[str, int],
) -> DecodeReport:
    judged = counts["accepted"] + counts["rejected"]
    outputs = {name: timing.outputs for name, timing in timings.items()}
    return DecodeReport(
        **{f"{name}_tok_s": timing.median_tok_s for name, timing in timings.items()},
        agreement=counts["accepted"] / judged if judged else None,
        passes_per_token=counts["steps"] / counts["tokens"],
        tok_s_of_repeats={name: timing.tok_s for name, timing in timings.items()},
        wavefront_equals_sequential=share_equal(outputs["wavefront"], outputs["sequential"]),
        plain_equals_transformers=share_equal(outputs["plain"], outputs["transformers"]),
        num_thought_tokens=llm.model_info.num_thought_tokens,
        num_prompts=len(prompts),
        num_prompt_tokens=sum(map(len, prompts)),
        model=llm.model_info.name,
        dtype=str(llm.model.dtype).removeprefix("torch."),
        hardware=describe_device(llm.model.device),
        mixing_weight=settings.mixing_weight,
        max_tokens=settings.max_tokens,
        repeats=settings.repeats,
        versions=versions(),
    )
