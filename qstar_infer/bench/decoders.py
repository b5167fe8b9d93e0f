"""The decoders that `qstar bench decode` compares."""

import math
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ConstantTalkHead
from qstar_infer.sampling_params import SamplingParams

COUNTERS = ("steps", "tokens", "accepted", "rejected")


@dataclass(slots=True, kw_only=True)
class StockDecoder:
    """`generate` of `transformers`, with its own cache."""

    backbone: PreTrainedModel
    num_tokens: int

    def __call__(self, prompt_ids: list[int]) -> list[int]:
        ids = torch.tensor([prompt_ids], device=self.backbone.device)
        # Without an end-of-sequence id it never stops early; min_new_tokens would cost time.
        config = cast(Any, GenerationConfig)(
            do_sample=False, max_new_tokens=self.num_tokens, eos_token_id=None, pad_token_id=0
        )
        generate = cast(Any, self.backbone).generate
        with torch.inference_mode():
            output = generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        new_ids: list[int] = output[0, len(prompt_ids) :].tolist()
        assert len(new_ids) == self.num_tokens, "generate stopped early"
        return new_ids


@dataclass(slots=True, kw_only=True)
class EngineDecoder:
    """Our engine, through `LLM.generate`."""

    llm: LLM
    num_tokens: int
    num_thought_tokens: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    """The engine's `COUNTERS`, summed over all calls."""

    def __call__(self, prompt_ids: list[int]) -> list[int]:
        params = SamplingParams(
            temperature=0.0,
            max_tokens=self.num_tokens,
            ignore_eos=True,
            num_thought_tokens=self.num_thought_tokens,
        )
        before = self.llm.stats()
        output = self.llm.generate([prompt_ids], params)[0]
        after = self.llm.stats()
        for name in COUNTERS:
            self.counts[name] += getattr(after, name) - getattr(before, name)
        return output.outputs[0].token_ids


def stock_copy(backbone: PreTrainedModel) -> PreTrainedModel:
    """A copy with stock attention. Make it before an engine starts, which changes the layers."""
    stock = deepcopy(backbone)
    stock.set_attn_implementation("sdpa")
    if stock.generation_config is not None:
        stock.generation_config.eos_token_id = None
    return stock


def force_mixing_weight(model: QuietStarModel, weight: float) -> None:
    """Replace the talk head by a constant.

    Raises:
        ConfigError: the model has no talk head, or the weight is not finite.
    """
    if not math.isfinite(weight):
        raise ConfigError(f"--mixing-weight is {weight}; it must be a finite number")
    if model.thought_parts is None:
        raise ConfigError(
            "--mixing-weight needs a model with thought parts; `qstar init` adds them"
        )
    hidden_size = model.thought_parts.start_thought.numel()
    model.thought_parts.talk_head = ConstantTalkHead(hidden_size, weight)
