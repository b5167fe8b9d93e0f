"""Builds the picks of a step: from which row to sample or score a token, and by which rules."""

from typing import Any

from qstar_infer.sampling_params import SamplingParams
from qstar_infer.step import ThoughtPick, VisiblePick
from qstar_infer.token_rules import intersection, last_of_bad_words
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.sequence import Sequence


def thought_pick(seq: Sequence, lane: Lane, row: int) -> ThoughtPick:
    """Pick for the next token of a lane's thought."""
    return ThoughtPick(
        row=row,
        temperature=seq.thought_temperature,
        seed=seq.seed,
        position=lane.anchor + 1,
        stream_index=len(lane.thought) + 1,
    )


def base_pick(seq: Sequence, lane: Lane, row: int) -> VisiblePick:
    """Pick for the draft after an anchor, or for the decision if there is no thought."""
    has_thought = lane.table is not None
    may_decide = not has_thought or lane.asks_gate or seq.params.think_threshold is not None
    return _visible_pick(seq, lane, row, may_decide=may_decide, asks_gate=lane.asks_gate)


def target_pick(seq: Sequence, lane: Lane, row: int) -> VisiblePick:
    """Pick for the decision at the end of a lane's thought."""
    return _visible_pick(seq, lane, row, may_decide=True)


def _visible_pick(
    seq: Sequence, lane: Lane, row: int, *, may_decide: bool, asks_gate: bool = False
) -> VisiblePick:
    params = seq.params
    known_id = seq.known_next(lane.anchor)
    num_base_top = (params.thought_top_logprobs or 0) if known_id is None else 0
    num_top = params.logprobs if known_id is None else params.prompt_logprobs
    return VisiblePick(
        row=row,
        seed=seq.seed,
        position=lane.anchor + 1,
        lane_slot=lane.buffer_slot,
        known_id=known_id,
        may_decide=may_decide,
        asks_gate=asks_gate,
        num_top_logprobs=max(num_top or 0, num_base_top),
        num_base_top_logprobs=num_base_top,
        **(_rules(seq, lane.anchor) if known_id is None else {}),
    )


def _rules(seq: Sequence, anchor: int) -> dict[str, Any]:
    """Fields of `VisiblePick` whose values differ from its defaults."""
    params = seq.params
    rules: dict[str, Any] = {}
    if params.temperature > 0:
        rules |= {
            "temperature": params.temperature,
            "top_k": max(0, params.top_k),
            "top_p": params.top_p,
            "min_p": params.min_p,
        }
    if params.logit_bias:
        rules["logit_bias"] = dict(params.logit_bias)
    banned = _banned_ids(seq, anchor)
    if banned:
        rules["banned_ids"] = sorted(banned)
    allowed = _allowed(seq, anchor)
    if allowed is not None:
        rules["allowed"] = allowed
    if _has_penalty(params):
        rules |= {
            "repetition_penalty": params.repetition_penalty,
            "presence_penalty": params.presence_penalty,
            "frequency_penalty": params.frequency_penalty,
            "history": seq.wavefront.text_until(anchor + 1),
            "num_prompt_tokens": seq.num_prompt_tokens,
        }
    return rules


def _banned_ids(seq: Sequence, anchor: int) -> set[int]:
    banned: set[int] = set()
    if anchor + 1 - seq.num_prompt_tokens < seq.params.min_tokens:
        banned |= seq.end_token_ids
    if seq.rules.bad_words:
        banned |= last_of_bad_words(seq.rules.bad_words, seq.output_until(anchor + 1))
    return banned


def _allowed(seq: Sequence, anchor: int) -> bytes | None:
    """Bitmask of the tokens that may follow; None: all."""
    if seq.grammar is None:
        return seq.rules.allowed
    return intersection(seq.rules.allowed, seq.grammar.allowed_after(seq.output_until(anchor + 1)))


def _has_penalty(params: SamplingParams) -> bool:
    return (
        params.repetition_penalty != 1.0
        or params.presence_penalty != 0.0
        or params.frequency_penalty != 0.0
    )
