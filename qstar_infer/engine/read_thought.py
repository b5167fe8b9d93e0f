"""Turns a verified token into the `Thought` that a request sees."""

from collections.abc import Iterable

from qstar_infer.outputs import Draft, DroppedThought, LikelyToken, Passes, Thought
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.text.token_text import TokenText
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.wavefront import Verified


def read_thought(verified: Verified, params: SamplingParams, token_text: TokenText) -> Thought:
    """The thought of a token, with what the request asks for beside it."""
    lane, token, num_top = verified.lane, verified.decision, params.thought_top_logprobs
    is_top_shown = num_top is not None
    return Thought(
        token_id=token.token_id,
        token=token_text.of_token(token.token_id),
        thought=token_text.of_piece(lane.thought),
        thought_token_ids=list(lane.thought),
        mixing_weight=token.mixing_weight,
        logprob=token.logprob,
        base_logprob=token.base_logprob,
        # `logprobs` may have asked the engine for more of these.
        top_logprobs=_named(token.top_logprobs[:num_top], token_text) if is_top_shown else None,
        base_top_logprobs=_named(token.base_top_logprobs, token_text) if is_top_shown else None,
        passes=_passes(verified, token_text) if params.show_passes else None,
    )


def _named(tokens: Iterable[tuple[int, float]], token_text: TokenText) -> list[LikelyToken]:
    return [
        LikelyToken(token=token_text.of_token(token_id), token_id=token_id, logprob=logprob)
        for token_id, logprob in tokens
    ]


def _passes(verified: Verified, token_text: TokenText) -> Passes:
    lane = verified.lane
    return Passes(
        first=lane.first_pass,
        last=lane.last_pass,
        draft=Draft(
            token=token_text.of_token(verified.draft_id),
            token_id=verified.draft_id,
            is_fed=lane.is_draft_fed,
            is_kept=verified.is_draft_kept,
        ),
        dropped=[_dropped(each, token_text) for each in verified.dropped],
    )


def _dropped(lane: Lane, token_text: TokenText) -> DroppedThought:
    assert lane.draft_id is not None, "a lane was dropped that does not depend on a draft"
    return DroppedThought(
        token=token_text.of_token(lane.draft_id), first=lane.first_pass, last=lane.last_pass
    )
