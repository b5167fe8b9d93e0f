"""Request and response types of `POST /v1/completions`."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, PlainValidator

from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import MAX_LOGPROBS, SamplingParams
from qstar_server.endpoints.completions.prompts import PromptInput, parse_prompts
from qstar_server.generation.field_types import Count, TokenId
from qstar_server.generation.generation_request import GenerationRequest
from qstar_server.generation.thoughts import ThoughtEntry
from qstar_server.generation.usage import Usage

DEFAULT_MAX_TOKENS = 16
DEFAULT_MAX_LOGPROBS = 5
"""Most `logprobs` and `prompt_logprobs`, if the operator does not say."""
MAX_BEST_OF = 20

_Item = TypeVar("_Item")
_NonEmpty = Annotated[list[_Item], Field(min_length=1)]
_TokenIds = _NonEmpty[TokenId]
Prompts = Annotated[
    list[PromptInput],
    PlainValidator(
        parse_prompts,
        json_schema_input_type=str | _NonEmpty[str] | _TokenIds | _NonEmpty[_TokenIds] | None,
    ),
]
"""The prompts of one request, from any of the accepted forms."""


class CompletionRequest(GenerationRequest):
    """OpenAI's request, vLLM's common extensions, and this project's thought fields."""

    prompt: Prompts
    max_tokens: Count | None = None
    """Null is 16."""
    best_of: int | None = Field(default=None, ge=1, le=MAX_BEST_OF)
    """Completions to generate for each prompt; the `n` with the highest mean log-probability are
    returned. Null is `n`."""
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """0 reports the chosen token alone; null reports nothing. Up to 5 unless the operator says
    otherwise."""
    prompt_logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """The same for each prompt token, as `choices[].prompt_logprobs` (vLLM)."""
    suffix: str | None = None
    """Null or an empty text: this server cannot insert text before a suffix."""
    add_special_tokens: bool | None = None
    """Null is true: a text prompt gets the tokenizer's beginning-of-sequence token."""

    def to_sampling_params(self, defaults: SamplingDefaults) -> SamplingParams:
        """The sampling settings of each prompt.

        Args:
            defaults: the checkpoint's, for fields that are null.

        Raises:
            RequestError: a value is out of range or contradicts another; `param` names the field.
        """
        return self.build_sampling_params(
            defaults,
            max_tokens=DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens,
            best_of=self.best_of,
            logprobs=self.logprobs,
            prompt_logprobs=self._num_prompt_logprobs(),
        )

    def _num_prompt_logprobs(self) -> int | None:
        """What the engine scores: enough for `prompt_logprobs` and for an echoed prompt."""
        asked = [self.prompt_logprobs, self.logprobs if self.echo else None]
        return max((count for count in asked if count is not None), default=None)


class Logprobs(BaseModel):
    """Four arrays of equal length, with one entry for each token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
    """Where the token begins, in characters of the choice's text."""

    def followed_by(self, later: "Logprobs") -> "Logprobs":
        """A new object with the entries of both. Only the arrays are copied, not their entries."""
        # Not the constructor, which would validate and copy every entry.
        return Logprobs.model_construct(
            tokens=self.tokens + later.tokens,
            token_logprobs=self.token_logprobs + later.token_logprobs,
            top_logprobs=self.top_logprobs + later.top_logprobs,
            text_offset=self.text_offset + later.text_offset,
        )


class PromptLogprob(BaseModel):
    """One token that may follow a prefix of the prompt, as in vLLM."""

    logprob: float
    rank: int | None
    """1 for the most likely token."""
    decoded_token: str


class CompletionChoice(BaseModel):
    """One completion, or what a chunk adds to it. Unset fields are left out of the JSON."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None
    thoughts: list[ThoughtEntry] = []
    """One entry for each generated token; left out unless the request shows thoughts."""
    prompt_logprobs: list[dict[str, PromptLogprob] | None] = []
    """For each prompt token, by token id: it and the most likely ones. Null for the first token.
    Only in a choice's first chunk; left out unless asked for."""
    prompt_token_ids: list[int] = []
    token_ids: list[int] = []


class CompletionResponse(BaseModel):
    """A whole response, and also a chunk of a stream: both have the same form."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    """Left out of a stream that did not ask for it."""
