"""Loss of a model's predictions, and how often its drafts are right, with rounded weights."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from qstar_infer.model.quiet_star import QuietStarModel


@dataclass(frozen=True)
class Quality:
    """Means over all tokens of all texts but the first of each."""

    loss: float
    """Of the base logits, in nats; its exponential is the perplexity."""
    loss_thinking: float
    """Of the mixed logits."""
    agreement: float
    """Share of tokens where base and mixed logits have the same maximum, so the draft is right."""


@torch.inference_mode()
def judge(model: QuietStarModel, texts: Iterable[str], *, max_tokens: int) -> Quality:
    """Think at each token of each text, greedily."""
    losses, thinking, agreeing = [], [], []
    for text in texts:
        ids = model.tokenizer(text, return_tensors="pt").input_ids[:, :max_tokens]
        trace = model.think(ids)
        mixed, base = trace.logits[0, :-1], trace.base_logits[0, :-1]
        losses.append(F.cross_entropy(base, ids[0, 1:], reduction="none"))
        thinking.append(F.cross_entropy(mixed, ids[0, 1:], reduction="none"))
        agreeing.append((model.mask_delimiters(base).argmax(-1) == mixed.argmax(-1)).float())
    return Quality(*(float(torch.cat(each).mean()) for each in (losses, thinking, agreeing)))
