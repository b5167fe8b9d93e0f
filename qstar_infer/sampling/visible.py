"""From the model's logits to the logits the visible token is picked from.

Draft and target go through here alike, with the same history, so that equal distributions give
equal tokens. Thoughts never do.
"""

import math
from collections import Counter
from collections.abc import Collection
from collections.abc import Sequence as Items
from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.sampling_params import SamplingParams

_FIRST_CANDIDATES = 1024
"""Tokens sorted at first for `top_p`: nearly always enough, and much cheaper than all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleContext:
    """All that shapes the choice of one visible token, beside its logits."""

    params: SamplingParams
    history: Items[int]
    """Prompt and output before the token. May be empty if no penalty asks for it."""
    num_prompt_tokens: int
    num_output_tokens: int
    """Output tokens before this one."""
    end_token_ids: Collection[int]
    """Banned while `min_tokens` is not reached."""


def shape_logits(logits: Tensor, contexts: Items[VisibleContext]) -> Tensor:
    """Bias, penalties and filters, row by row; the temperature is left to the sampler.

    Args:
        logits: `[rows, vocab]`, float32, delimiters at minus infinity. Not written to.
        contexts: one for each row.

    Returns:
        `[rows, vocab]`, float32; the input itself where no row asks for anything.
    """
    if not any(_shapes(context) for context in contexts):
        return logits
    shaped = logits.clone()
    for row, context in zip(shaped, contexts, strict=True):
        if _shapes(context):
            _adjust_(row, context)
            _filter_(row, context.params)
    return shaped


def needs_history(params: SamplingParams) -> bool:
    """Some penalty looks at the tokens so far."""
    return (
        params.repetition_penalty != 1.0
        or params.presence_penalty != 0.0
        or params.frequency_penalty != 0.0
    )


def _shapes(context: VisibleContext) -> bool:
    params = context.params
    return (
        needs_history(params)
        or bool(params.logit_bias)
        or context.num_output_tokens < params.min_tokens
        or (params.temperature > 0 and _filters(params))
    )


def _filters(params: SamplingParams) -> bool:
    return params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0


def _adjust_(row: Tensor, context: VisibleContext) -> None:
    """Bias, `min_tokens` and penalties, in place on `[vocab]`."""
    params = context.params
    if params.logit_bias:
        ids = _ids(params.logit_bias, row)
        row[ids] += torch.tensor([*params.logit_bias.values()], dtype=row.dtype, device=row.device)
    if context.num_output_tokens < params.min_tokens:
        row[_ids(context.end_token_ids, row)] = float("-inf")
    if params.repetition_penalty != 1.0:
        ids = _ids(set(context.history), row)
        seen = row[ids]
        penalty = params.repetition_penalty
        row[ids] = torch.where(seen > 0, seen / penalty, seen * penalty)
    if params.presence_penalty != 0.0 or params.frequency_penalty != 0.0:
        counts = Counter(context.history[context.num_prompt_tokens :])
        times = torch.tensor([*counts.values()], dtype=row.dtype, device=row.device)
        row[_ids(counts, row)] -= params.presence_penalty + params.frequency_penalty * times


def _ids(token_ids: Collection[int], like: Tensor) -> Tensor:
    return torch.tensor([*token_ids], dtype=torch.int64, device=like.device)


def _filter_(row: Tensor, params: SamplingParams) -> None:
    """`top_k`, then `top_p` of what is left, then `min_p`, in place. Ties at a border stay."""
    if params.temperature == 0 or not _filters(params):
        return
    if params.top_k > 0:
        lowest = row.topk(min(params.top_k, row.shape[0])).values[-1]
        row.masked_fill_(row < lowest, float("-inf"))
    if params.top_p < 1.0:
        scaled = row / params.temperature
        row.masked_fill_(scaled < _top_p_border(scaled, params.top_p), float("-inf"))
    if params.min_p > 0.0:
        lowest = row.max() + math.log(params.min_p) * params.temperature
        row.masked_fill_(row < lowest, float("-inf"))


def _top_p_border(scaled: Tensor, top_p: float) -> Tensor:
    """The lowest logit of the smallest set of likeliest tokens that reaches `top_p`."""
    total = scaled.logsumexp(dim=0)
    for count in (_FIRST_CANDIDATES, scaled.shape[0]):
        best = scaled.topk(min(count, scaled.shape[0])).values
        reached = (best - total).exp().cumsum(0) >= top_p
        if bool(reached.any()):
            return best[reached.int().argmax()]
    return best[-1]
