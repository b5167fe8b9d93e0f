"""What several answers have in common, as pydantic models. Unknown fields are kept."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_LeftOut = Field(exclude_if=lambda value: value is None)
"""Absent from `model_dump`, as from the server's answer, unless it was requested."""


class AnswerModel(BaseModel):
    """Base of all answers. A newer server may send more fields, with any name."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class LikelyToken(AnswerModel):
    """One of the most likely tokens at a place."""

    token: str
    token_id: int
    logprob: float


class Draft(AnswerModel):
    """The token that the prediction without the thought gave."""

    token: str
    token_id: int
    is_fed: bool
    """Whether it was fed before the thought ended, so that the next thought began early."""
    is_kept: bool
    """Whether the thought decided the same token."""


class DroppedThought(AnswerModel):
    """A thought that began after a wrong draft; nothing of it is in the text."""

    token: str
    """The draft that it began after."""
    first: int
    last: int


class Passes(AnswerModel):
    """The passes through the model that found a token.

    They count from 0, which computed the last token of the prompt.
    """

    first: int
    """The pass of the token before this one, where its thought begins."""
    last: int
    """The pass that decided the token."""
    draft: Draft
    dropped: list[DroppedThought]
    """The thoughts dropped since the token before this one was decided."""


class Thought(AnswerModel):
    """One visible token and the thought before it.

    A token without a thought has an empty thought and mixing weight 0.
    """

    token: str
    """The text of this token alone; an incomplete character is U+FFFD."""
    token_id: int
    thought: str
    thought_token_ids: list[int]
    """The sampled tokens, without the two delimiters."""
    mixing_weight: float
    """Share of the thought in the mixed logits."""
    logprob: float
    """ln p(token) under the mixed distribution."""
    base_logprob: float
    """ln p(token) without the thought."""
    top_logprobs: Annotated[list[LikelyToken] | None, _LeftOut] = None
    """The most likely tokens with the thought, best first; None unless requested with
    `thought_top_logprobs`."""
    base_top_logprobs: Annotated[list[LikelyToken] | None, _LeftOut] = None
    """The same without the thought."""
    passes: Annotated[Passes | None, _LeftOut] = None
    """None unless requested with `show_passes`."""


class TopLogprob(AnswerModel):
    """One of the most likely tokens at a position."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    """UTF-8 of the token, which may be part of a character."""


class ChatCompletionTokenLogprob(TopLogprob):
    """A token of the text, with the most likely ones in its place."""

    top_logprobs: list[TopLogprob] = []


class PromptTokensDetails(AnswerModel):
    """Details of `prompt_tokens`."""

    cached_tokens: int | None = 0
    """Prompt tokens read from the prefix cache."""


class CompletionTokensDetails(AnswerModel):
    """Tokens computed in addition to the visible tokens."""

    reasoning_tokens: int | None = 0
    """Thought tokens; not part of `completion_tokens`, which they may exceed."""


class Usage(AnswerModel):
    """Token counts over all prompts and choices of the request."""

    prompt_tokens: int
    completion_tokens: int
    """Visible tokens, which `max_tokens` limits."""
    total_tokens: int
    """`prompt_tokens` plus `completion_tokens`; thought tokens are in neither."""
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
