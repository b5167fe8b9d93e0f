"""Thoughts: whether a request may see them, how long they are, and their form on the wire."""

from collections.abc import Sequence

from pydantic import BaseModel

from qstar_infer.errors import RequestError
from qstar_infer.outputs import Thought
from qstar_server.errors import ApiError
from qstar_server.generation import GenerationRequest
from qstar_server.numbers import finite_logprob
from qstar_server.settings import Settings


class ThoughtEntry(BaseModel):
    """One visible token and the thought that came before it."""

    thought: str
    thought_token_ids: list[int]
    mixing_weight: float
    token: str
    token_id: int
    logprob: float
    base_logprob: float


def thought_entries(thoughts: Sequence[Thought]) -> list[ThoughtEntry]:
    """The wire form of thoughts, in the order of their tokens."""
    return [
        ThoughtEntry(
            thought=thought.thought,
            thought_token_ids=list(thought.thought_token_ids),
            mixing_weight=thought.mixing_weight,
            token=thought.token,
            token_id=thought.token_id,
            logprob=finite_logprob(thought.logprob),
            base_logprob=finite_logprob(thought.base_logprob),
        )
        for thought in thoughts
    ]


def refuse_forbidden_thoughts(request: GenerationRequest, settings: Settings) -> None:
    """Refuse to show thoughts where the operator forbids it.

    Raises:
        ApiError: 403.
    """
    if request.show_thoughts and not settings.allow_thoughts:
        raise ApiError(
            403,
            "This server does not show thoughts; leave out show_thoughts.",
            type="permission_error",
            param="show_thoughts",
            code="thoughts_forbidden",
        )


def requested_thought_length(request: GenerationRequest) -> int | None:
    """Thought length from the request's own field and its two aliases for "do not think".

    Returns:
        None for the length the model was trained with.

    Raises:
        RequestError: one field asks for thoughts and another for none.
    """
    switches = request.chat_template_kwargs
    is_off_by_template = switches is not None and switches.enable_thinking is False
    if request.reasoning_effort != "none" and not is_off_by_template:
        return request.num_thought_tokens
    if request.num_thought_tokens is not None and request.num_thought_tokens != 0:
        other = "chat_template_kwargs.enable_thinking" if is_off_by_template else "reasoning_effort"
        raise RequestError(
            f"num_thought_tokens is {request.num_thought_tokens}, but {other} turns thinking off",
            param="num_thought_tokens",
        )
    return 0
