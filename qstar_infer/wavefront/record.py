"""Applies a step's result to one sequence's lanes and drafts."""

import math

from qstar_infer.step import SampledToken, StepResult
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.rows import SequenceStep


def record_result(step: SequenceStep, result: StepResult) -> list[Lane]:
    """Append thought tokens and decisions to the lanes, and the new draft to the frontier.

    Args:
        result: this sequence's share, from `split_result`.

    Returns:
        The lanes that have decided, so that their blocks and slots can be released.
    """
    seq = step.seq
    for lane, token_id in zip(step.thinking, result.thought_token_ids, strict=True):
        lane.thought.append(token_id)
    decided = []
    for lane, token in zip(step.opening.values(), result.base_tokens, strict=True):
        if seq.known_next(lane.anchor) is None:
            seq.wavefront.add_draft(lane.anchor, token.token_id)
        if lane.table is None or _is_confident(token, seq.params.think_threshold):
            lane.thought.clear()
            lane.decision = token
            decided.append(lane)
    for lane, token in zip(step.ending, result.target_tokens, strict=True):
        lane.decision = token
        decided.append(lane)
    return decided


def _is_confident(token: SampledToken, threshold: float | None) -> bool:
    """Whether the top probability of the base distribution is at least `think_threshold`."""
    return threshold is not None and math.exp(token.top_logprob) >= threshold
