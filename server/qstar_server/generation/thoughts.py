"""Thoughts as JSON, the same for every endpoint."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from qstar_infer import outputs
from qstar_server.generation.logprobs import finite_logprob

_LeftOut = Field(exclude_if=lambda value: value is None)
"""Absent from the JSON unless it was asked for."""


class LikelyToken(BaseModel):
    """One of the most likely tokens at a place."""

    token: str
    token_id: int
    logprob: float


class DraftEntry(BaseModel):
    """The token that the prediction without the thought gave."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    token: str
    token_id: int
    is_fed: bool
    """Whether it was fed before the thought ended, so that the next thought began early."""
    is_kept: bool
    """Whether the thought decided the same token. True where there is no thought."""


class DroppedEntry(BaseModel):
    """A thought that began after a wrong draft."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    token: str
    """The draft that it began after."""
    first: int
    last: int


class PassesEntry(BaseModel):
    """The passes that found a token, counted from 0, which computed the last prompt token."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    first: int
    """The pass of the token before this one, where its thought begins."""
    last: int
    """The pass that decided the token."""
    draft: DraftEntry
    dropped: list[DroppedEntry]
    """The thoughts dropped since the token before this one was decided."""


class ThoughtEntry(BaseModel):
    """One visible token and the thought that came before it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    thought: str
    thought_token_ids: list[int]
    mixing_weight: float
    token: str
    token_id: int
    logprob: float
    base_logprob: float
    top_logprobs: Annotated[list[LikelyToken] | None, _LeftOut] = None
    """The most likely tokens with the thought, best first; left out unless `thought_top_logprobs`
    asks for them."""
    base_top_logprobs: Annotated[list[LikelyToken] | None, _LeftOut] = None
    """The same without the thought."""
    passes: Annotated[PassesEntry | None, _LeftOut] = None
    """Left out unless `show_passes` asks for it."""


def thought_entries(thoughts: Sequence[outputs.Thought]) -> list[ThoughtEntry]:
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
            top_logprobs=_likely(thought.top_logprobs),
            base_top_logprobs=_likely(thought.base_top_logprobs),
            passes=None if thought.passes is None else _passes(thought.passes),
        )
        for thought in thoughts
    ]


def _likely(tokens: Sequence[outputs.LikelyToken] | None) -> list[LikelyToken] | None:
    if tokens is None:
        return None
    return [
        LikelyToken(token=each.token, token_id=each.token_id, logprob=finite_logprob(each.logprob))
        for each in tokens
    ]


def _passes(passes: outputs.Passes) -> PassesEntry:
    draft = passes.draft
    return PassesEntry(
        first=passes.first,
        last=passes.last,
        draft=DraftEntry(
            token=draft.token,
            token_id=draft.token_id,
            is_fed=draft.is_fed,
            is_kept=draft.is_kept,
        ),
        dropped=[_dropped(each) for each in passes.dropped],
    )


def _dropped(thought: outputs.DroppedThought) -> DroppedEntry:
    return DroppedEntry(token=thought.token, first=thought.first, last=thought.last)
