"""Thoughts as they are during training, for a person to read."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

NUM_SAMPLES = 3
CONTEXT_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtSample:
    """One thought in its place."""

    context: str
    """The text just before it."""
    thought: str
    next_token: str
    """The true token after it."""
    gain: float
    """Base less mixed loss of that token, nats."""
    mixing_weight: float

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def sample_thoughts(
    tokenizer: PreTrainedTokenizerBase, input_ids: Tensor, step_output: dict[str, Tensor], step: int
) -> list[ThoughtSample]:
    """A few thoughts of a training window, at places drawn by the step.

    Args:
        input_ids: `[seq]`, the window.
        step_output: what `ObjectiveModule` returned for a batch that begins with it.
    """
    generator = torch.Generator().manual_seed(step)
    places = torch.randperm(len(input_ids) - 1, generator=generator)[:NUM_SAMPLES]

    def text(ids: Tensor) -> str:
        return str(tokenizer.decode(ids.tolist()))

    return [
        ThoughtSample(
            context=text(input_ids[max(0, place - CONTEXT_TOKENS + 1) : place + 1]),
            thought=text(step_output["thought_ids"][place]),
            next_token=text(input_ids[place + 1 : place + 2]),
            gain=round(float(step_output["gains"][place]), 4),
            mixing_weight=round(float(step_output["mixing_weights"][place]), 4),
        )
        for place in sorted(places.tolist())
    ]
