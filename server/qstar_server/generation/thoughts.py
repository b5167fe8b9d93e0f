"""Thoughts as JSON, the same for every endpoint."""

from collections.abc import Sequence

from pydantic import BaseModel

from qstar_infer.outputs import Thought
from qstar_server.generation.logprobs import finite_logprob


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
    """One entry for each thought, in order."""
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
