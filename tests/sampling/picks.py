"""Random picks and logits, and steps with one kind of picks."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qstar_infer.sampling.logit_rows import BaseRows
from qstar_infer.sampling.sampler import sample
from qstar_infer.step import SampledToken, ThoughtPick, VisiblePick
from qstar_infer.token_rules import bitmask


def sample_visible(
    logits: Tensor,
    picks: Sequence[VisiblePick],
    *,
    base_logits: Tensor,
    mixing_weights: Sequence[float],
) -> list[SampledToken]:
    """The tokens of a step without thoughts."""
    tokens, _ = sample(
        logits,
        picks,
        base=BaseRows(base_logits, range(len(base_logits))),
        mixing_weights=mixing_weights,
        thought_logits=logits[:0],
        thought_picks=[],
    )
    return tokens


def sample_thoughts(logits: Tensor, picks: Sequence[ThoughtPick]) -> list[int]:
    """The thought tokens of a step without visible ones."""
    nothing = logits[:0]
    _, token_ids = sample(
        nothing,
        [],
        base=BaseRows(nothing, []),
        mixing_weights=[],
        thought_logits=logits,
        thought_picks=picks,
    )
    return token_ids


def draw_pick(draw: random.Random, *, row: int, vocab_size: int) -> VisiblePick:
    """A pick with a random mix of settings, including the limits of their ranges."""

    def ids(most: int) -> list[int]:
        return [draw.randrange(vocab_size) for _ in range(draw.randint(0, most))]

    rules: dict[str, Any] = {}
    if draw.random() < 0.5:
        rules["history"] = ids(40) + ids(3) * 5
        rules["num_prompt_tokens"] = draw.randint(0, len(rules["history"]))
        rules["repetition_penalty"] = draw.choice([1.0, 1.3, 0.7, 10.0])
        rules["presence_penalty"] = draw.choice([0.0, 0.5, -2.0])
        rules["frequency_penalty"] = draw.choice([0.0, 0.3, -0.7])
    if draw.random() < 0.3:
        rules["logit_bias"] = {token_id: draw.uniform(-100, 100) for token_id in ids(6)}
    if draw.random() < 0.3:
        rules["banned_ids"] = sorted(set(ids(3)))
    if draw.random() < 0.3:
        some = {*ids(8), *rules.get("banned_ids", ()), draw.randrange(vocab_size - 2)}
        most = set(range(vocab_size)) - set(ids(40))
        rules["allowed"] = bitmask(draw.choice([some, most]), vocab_size=vocab_size)
    return VisiblePick(
        row=row,
        seed=draw.randrange(-(2**63), 2**63),
        position=draw.randrange(1000),
        temperature=draw.choice([0.0, 0.1, 0.7, 1.0, 2.0]),
        top_k=draw.choice([0, 0, 1, 5, 40, 300]),
        top_p=draw.choice([1.0, 1.0, 0.95, 0.5, 1e-3]),
        min_p=draw.choice([0.0, 0.0, 0.05, 1.0]),
        num_top_logprobs=draw.choice([0, 0, 2, 20]),
        num_base_top_logprobs=draw.choice([0, 2]),
        may_decide=draw.random() < 0.8,
        **rules,
    )


def draw_logits(num_rows: int, vocab_size: int, *, seed: int) -> Tensor:
    """`[num_rows, vocab_size]`, float32; ties, and two masked tokens as delimiters are."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_rows, vocab_size, generator=generator) * 4
    logits[:, : vocab_size // 2] = logits[:, : vocab_size // 2].round(decimals=1)
    logits[:, -2:] = -torch.inf
    return logits
