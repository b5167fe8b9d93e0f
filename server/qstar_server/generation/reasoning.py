"""Thoughts for clients that know only reasoning: its effort, and its text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Literal

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.outputs import Thought
from qstar_infer.sampling_params import SamplingParams

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
"""`reasoning_effort`, besides "none", which turns thinking off."""

DEFAULT_EFFORTS: Mapping[Effort, float] = {
    "minimal": 0.25,
    "low": 0.5,
    "medium": 1.0,
    "high": 1.0,
    "xhigh": 1.0,
    "max": 1.0,
}
"""The length of a thought at each effort, as a share of the length that the model was trained with.

A model was trained at one length. Shorter thoughts cost less; nothing shows that longer ones help,
so no effort asks for them unless the operator says so."""


def with_effort(
    params: SamplingParams,
    effort: Effort | Literal["none"] | None,
    *,
    model: ModelInfo,
    efforts: Mapping[Effort, float],
) -> SamplingParams:
    """The parameters with the thought length of an effort, unless they have one already.

    A share is rounded up, and gives at most `max_thought_tokens`.

    Args:
        effort: None is the trained length; "none" is in the parameters already.
        efforts: the share of the trained length of each effort.
    """
    if effort is None or effort == "none" or params.num_thought_tokens is not None:
        return params
    length = min(ceil(efforts[effort] * model.num_thought_tokens), model.max_thought_tokens)
    # None is the trained length too, and is what a request without an effort has.
    return replace(
        params, num_thought_tokens=None if length == model.num_thought_tokens else length
    )


class ReasoningText:
    """The thoughts of one answer as text: those that are not empty, each on a line of its own."""

    def __init__(self) -> None:
        self._has_begun = False

    def push(self, thoughts: Sequence[Thought]) -> str:
        """The text that the next thoughts add."""
        text = ""
        for thought in thoughts:
            if thought.thought:
                text += "\n" + thought.thought if self._has_begun else thought.thought
                self._has_begun = True
        return text
