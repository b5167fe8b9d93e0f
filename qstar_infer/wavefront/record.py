"""Applies a step's result to one sequence's lanes and drafts."""

import math
from collections.abc import Iterable

from qstar_infer.step import SampledToken, StepResult
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.rows import SequenceStep, owners_of_rows


def record_result(step: SequenceStep, result: StepResult) -> list[Lane]:
    """Append thought tokens and decisions to the lanes, and the new draft to the frontier.

    A decision that depends on a number that is not finite has a `fault`. It matters only when it
    is verified: a dropped draft has no effect on the output, whatever the model computed for it.

    Args:
        result: this sequence's share, from `split_result`.

    Returns:
        The lanes that have decided or that follow a wrong guess, so that their blocks and slots
        can be released.
    """
    seq = step.seq
    _note_pass(step)
    if result.broken_rows:
        _mark_broken(step, result.broken_rows)
    for lane, token_id in zip(step.thinking, result.thought_token_ids, strict=True):
        lane.thought.append(token_id)
    decided: list[Lane] = []
    dropped: list[Lane] = []
    for lane, token in zip(step.opening.values(), result.base_tokens, strict=True):
        if lane in dropped:
            continue
        if seq.known_next(lane.anchor) is None:
            dropped += seq.wavefront.add_draft(lane.anchor, token.token_id)
        is_closed = lane.table is None or not token.thinks
        if is_closed or _is_confident(token, seq.params.think_threshold):
            lane.thought.clear()
            lane.fault = None  # of a thought that does not count
            decided.append(_decide(step, lane, token))
        else:
            lane.fault = lane.fault or token.fault
    for lane, token in zip(step.ending, result.target_tokens, strict=True):
        decided.append(_decide(step, lane, token))
    return decided + dropped


def _note_pass(step: SequenceStep) -> None:
    """Count the pass, and note it in the lanes that it worked on."""
    seq = step.seq
    if seq.wavefront.num_computed >= seq.num_prompt_tokens:
        seq.num_passes += 1
    for lane in step.opening.values():
        lane.first_pass = lane.last_pass = seq.newest_pass
    for lane in step.advancing:
        lane.last_pass = seq.newest_pass


def _decide(step: SequenceStep, lane: Lane, token: SampledToken) -> Lane:
    """Give a lane its decision; the lane's faults, and those of its prefix, are the token's."""
    if step.seq.wavefront.is_broken(lane.anchor):
        lane.fault = "model"
    token.fault = lane.fault or token.fault
    lane.decision = token
    return lane


def _mark_broken(step: SequenceStep, broken_rows: Iterable[int]) -> None:
    """Mark the lanes and tokens whose rows are broken."""
    broken = set(broken_rows)
    for row, owner in enumerate(owners_of_rows(step)):
        if row not in broken:
            continue
        if isinstance(owner, Lane):
            owner.fault = "model"
        else:
            step.seq.wavefront.mark_broken(owner)


def _is_confident(token: SampledToken, threshold: float | None) -> bool:
    """Whether the top probability of the base distribution is at least `think_threshold`."""
    return threshold is not None and math.exp(token.top_logprob) >= threshold
