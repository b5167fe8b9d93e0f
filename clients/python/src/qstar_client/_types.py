"""What the server answers, as pydantic models. Fields unknown to this client are kept."""

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    # extra="allow": a newer server may say more. No namespace is protected, for the same reason.
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Thought(_Answer):
    """One visible token and the thought that came before it.

    A token that was not thought about has an empty thought and mixing weight 0.
    """

    token: str
    """The visible token's text on its own; half a character shows as U+FFFD."""
    token_id: int
    thought: str
    thought_token_ids: list[int]
    """The sampled tokens; the two delimiters are not among them."""
    mixing_weight: float
    """Share of the thought in the logits the token was drawn from."""
    logprob: float
    """ln p(token) with the thought mixed in."""
    base_logprob: float
    """ln p(token) without the thought."""


class Logprobs(_Answer):
    """Four lists of equal length, one entry per token; with `echo` the prompt's come first."""

    tokens: list[str]
    token_logprobs: list[float | None]
    """None for the first prompt token: nothing predicted it."""
    top_logprobs: list[dict[str, float] | None] | None = None
    """The most likely tokens and the chosen one, by text."""
    text_offset: list[int]
    """Where each token starts in the choice's text, in characters."""


class CompletionChoice(_Answer):
    """One completion; in a stream, only what is new in it."""

    index: int
    """Prompt number times `n` plus the number among that prompt's completions."""
    text: str
    logprobs: Logprobs | None = None
    """None unless `logprobs` was asked for."""
    finish_reason: str | None = None
    """`stop`, or `length` at `max_tokens` or the context's end; None while streaming."""
    thoughts: list[Thought] | None = None
    """One per visible token; None unless `show_thoughts` was asked for."""
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    """Of the visible tokens; both are None unless `return_token_ids` was asked for."""


class PromptTokensDetails(_Answer):
    """How the prompt tokens were paid for."""

    cached_tokens: int = 0
    """Read from the prefix cache."""


class CompletionTokensDetails(_Answer):
    """What was computed beside the visible tokens."""

    reasoning_tokens: int = 0
    """Thought tokens; not part of `completion_tokens`."""


class Usage(_Answer):
    """Token counts over all prompts and choices of the request."""

    prompt_tokens: int
    completion_tokens: int
    """Visible tokens: what `max_tokens` limits."""
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Completion(_Answer):
    """The answer to `completions.create`."""

    id: str
    object: str
    created: int
    """Unix time in seconds."""
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class CompletionChunk(Completion):
    """One event of a stream: the shape of a completion, holding only what is new.

    The last chunk has `usage` and no choices.
    """


class Model(_Answer):
    """A model the server offers."""

    id: str
    object: str
    created: int
    """Unix time in seconds."""
    owned_by: str


class ModelList(_Answer):
    """The body of `GET /v1/models`."""

    data: list[Model]
