"""Responses of the server as pydantic models. Unknown fields are kept."""

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    # A newer server may send more fields, with any name.
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Thought(_Answer):
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


class Logprobs(_Answer):
    """Four lists with one entry per token; with `echo`, those of the prompt come first."""

    tokens: list[str]
    token_logprobs: list[float | None]
    """None for the first prompt token, which has no prefix."""
    top_logprobs: list[dict[str, float] | None] | None = None
    """Log-probabilities of the most likely tokens and the chosen one, by text."""
    text_offset: list[int]
    """Where each token starts in the choice's text, in characters."""


class CompletionChoice(_Answer):
    """One completion; in a stream, a delta."""

    index: int
    """Index of the prompt times `n`, plus the index among that prompt's completions."""
    text: str
    logprobs: Logprobs | None = None
    """None unless requested with `logprobs`."""
    finish_reason: str | None = None
    """`stop`, or `length` (`max_tokens` or a full context); None before the end of a stream."""
    thoughts: list[Thought] | None = None
    """One per visible token; None unless requested with `show_thoughts`."""
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    """Ids of the visible tokens. Both lists are None unless requested with `return_token_ids`."""


class PromptTokensDetails(_Answer):
    """Details of `prompt_tokens`."""

    cached_tokens: int = 0
    """Prompt tokens read from the prefix cache."""


class CompletionTokensDetails(_Answer):
    """Tokens computed in addition to the visible tokens."""

    reasoning_tokens: int = 0
    """Thought tokens; not part of `completion_tokens`, which they may exceed."""


class Usage(_Answer):
    """Token counts over all prompts and choices of the request."""

    prompt_tokens: int
    completion_tokens: int
    """Visible tokens, which `max_tokens` limits."""
    total_tokens: int
    """`prompt_tokens` plus `completion_tokens`; thought tokens are in neither."""
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Completion(_Answer):
    """The response of `completions.create`."""

    id: str
    object: str
    created: int
    """Unix time in seconds."""
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class CompletionChunk(Completion):
    """One event of a stream: a completion whose choices are deltas.

    The last chunk has `usage` and no choices.
    """


class Model(_Answer):
    """A model that the server serves."""

    id: str
    object: str
    created: int
    """Unix time in seconds."""
    owned_by: str


class ModelList(_Answer):
    """The body of `GET /v1/models`."""

    data: list[Model]
