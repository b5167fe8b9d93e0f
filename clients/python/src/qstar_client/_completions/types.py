"""Responses of `POST /v1/completions`."""

from qstar_client._answer_types import AnswerModel, Thought, Usage
from qstar_client._view.html import answer_html


class Logprobs(AnswerModel):
    """Four lists with one entry per token; with `echo`, those of the prompt come first."""

    tokens: list[str]
    token_logprobs: list[float | None]
    """None for the first prompt token, which has no prefix."""
    top_logprobs: list[dict[str, float] | None] | None = None
    """Log-probabilities of the most likely tokens and the chosen one, by text."""
    text_offset: list[int]
    """Where each token starts in the choice's text, in characters."""


class PromptLogprob(AnswerModel):
    """One token that may follow a prefix of the prompt."""

    logprob: float
    rank: int | None = None
    """1 for the most likely token."""
    decoded_token: str | None = None


class CompletionChoice(AnswerModel):
    """One completion; in a stream, a delta. A notebook shows its thoughts."""

    index: int
    """Index of the prompt times `n`, plus the index among that prompt's completions."""
    text: str
    logprobs: Logprobs | None = None
    """None unless requested with `logprobs`."""
    finish_reason: str | None = None
    """`stop`, or `length` (`max_tokens` or a full context); None before the end of a stream."""
    thoughts: list[Thought] | None = None
    """One per visible token; None unless requested with `show_thoughts`."""
    prompt_logprobs: list[dict[str, PromptLogprob] | None] | None = None
    """For each prompt token, by token id: it and the most likely ones. None for the first token,
    and unless requested with `prompt_logprobs`."""
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    """Ids of the visible tokens. Both lists are None unless requested with `return_token_ids`."""

    def _repr_html_(self) -> str | None:
        return answer_html([self.thoughts])


class Completion(AnswerModel):
    """The response of `completions.create`. A notebook shows its thoughts."""

    id: str
    object: str
    created: int
    """Unix time in seconds."""
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None

    def _repr_html_(self) -> str | None:
        return answer_html([choice.thoughts for choice in self.choices])


class CompletionChunk(Completion):
    """One event of a stream: a completion whose choices are deltas.

    If usage was requested, the last chunk has `usage` and no choices.
    """
