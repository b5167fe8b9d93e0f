"""Decoding speed at batch 1: `transformers`, ours not thinking, ours thinking in two ways.

All four decode greedily the same number of tokens, with the same weights in the same dtype. A time
is that of a whole call, from the prompt to the last token.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import torch

from qstar_infer.bench.decoders import (
    EngineDecoder,
    StockDecoder,
    force_mixing_weight,
    stock_copy,
)
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.bench.measure import Decoder, Timing, measure, share_equal
from qstar_infer.bench.report import DecodeConfig, DecodeReport, load_prompts
from qstar_infer.checkpoint import load_from_args
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel

WARM_UP_PROMPTS = 1


def run_decode(
    config: DecodeConfig, *, on_call: Callable[[int, int], None] = lambda _done, _of: None
) -> DecodeReport:
    """Load the model, warm up, measure.

    Args:
        on_call: called after each call with the number of calls done and of all calls.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: a setting does not apply, or the model cannot think.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    args = config.engine_args
    model = load_from_args(args)
    if config.mixing_weight is not None:
        force_mixing_weight(model, config.mixing_weight)
    stock = StockDecoder(backbone=stock_copy(model.backbone), num_tokens=config.max_tokens)
    # The sequential engine comes first and has room for one sequence only: the other, sized as
    # `qstar serve` sizes it, may take most of the memory that is left.
    with closing(_sequential(model, args)) as slow, closing(_engine(model, args)) as fast:
        if not fast.model_info.num_thought_tokens:
            raise ConfigError(
                f"{fast.model_info.name} cannot think; add thought parts with `qstar init`"
            )
        ours = {
            "plain": EngineDecoder(llm=fast, num_tokens=config.max_tokens, num_thought_tokens=0),
            "sequential": EngineDecoder(llm=slow, num_tokens=config.max_tokens),
            "wavefront": EngineDecoder(llm=fast, num_tokens=config.max_tokens),
        }
        prompts = [list(model.tokenizer(text)["input_ids"]) for text in load_prompts()]
        decoders: dict[str, Decoder] = {"transformers": stock, **ours}
        measure(decoders, prompts[:WARM_UP_PROMPTS], repeats=1)
        ours["wavefront"].counts.clear()
        num_calls = config.repeats * len(prompts) * len(decoders)
        timings = measure(
            decoders,
            prompts,
            repeats=config.repeats,
            on_call=lambda done: on_call(done, num_calls),
        )
        return _report(config, fast, prompts, timings, ours["wavefront"].counts)


def _engine(model: QuietStarModel, args: EngineArgs, **other: Any) -> LLM:
    settings = args.settings() | other | {"model": model}
    return LLM(**settings)


def _sequential(model: QuietStarModel, args: EngineArgs) -> LLM:
    return _engine(model, args, speculation="off", max_num_seqs=1)


def _report(
    config: DecodeConfig,
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
        mixing_weight=config.mixing_weight,
        max_tokens=config.max_tokens,
        repeats=config.repeats,
        versions=versions(),
    )
