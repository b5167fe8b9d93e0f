"""`POST /v1/completions` on the wire: request and response."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainValidator

from qstar_server.completions.prompts import PromptInput, parse_prompts
from qstar_server.generation import GenerationRequest
from qstar_server.wire import ThoughtEntry, Usage

MAX_LOGPROBS = 5
MAX_BEST_OF = 20

Prompts = Annotated[
    list[PromptInput],
    PlainValidator(
        parse_prompts,
        json_schema_input_type=str | list[str] | list[int] | list[list[int]] | None,
    ),
]
"""The prompts of one request, from any of the accepted shapes."""


class CompletionRequest(GenerationRequest):
    """OpenAI's request, vLLM's common extras, and this project's thought fields."""

    prompt: Prompts
    max_tokens: int | None = None
    """Null is 16."""
    best_of: int | None = Field(default=None, ge=0, le=MAX_BEST_OF)
    """Candidates a prompt, of which the `n` with the highest mean logprob are returned."""
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """0 reports the chosen token alone; null reports nothing."""
    suffix: str | None = None
    """Only null or an empty text: this model cannot fill in the middle."""
    add_special_tokens: bool | None = None
    """Null is true: a text prompt gets the tokenizer's beginning-of-sequence token."""


class Logprobs(BaseModel):
    """Four arrays of equal length, one entry a token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
    """Where the token begins, in characters of the choice's text."""

    def extend(self, later: "Logprobs") -> None:
        """Append the entries of later tokens, in place."""
        self.tokens += later.tokens
        self.token_logprobs += later.token_logprobs
        self.top_logprobs += later.top_logprobs
        self.text_offset += later.text_offset

    def followed_by(self, later: "Logprobs") -> "Logprobs":
        """The entries of both as a new object, which shares them: only the arrays are copied."""
        # Not the constructor, which would look at every entry and copy it.
        return Logprobs.model_construct(
            tokens=self.tokens + later.tokens,
            token_logprobs=self.token_logprobs + later.token_logprobs,
            top_logprobs=self.top_logprobs + later.top_logprobs,
            text_offset=self.text_offset + later.text_offset,
        )


class CompletionChoice(BaseModel):
    """One completion, or what a chunk adds to it. Fields left unset are absent on the wire."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None
    thoughts: list[ThoughtEntry] = []
    """One entry a generated token; absent unless asked for."""
    prompt_token_ids: list[int] = []
    token_ids: list[int] = []

    def extend(self, later: "CompletionChoice") -> None:
        """Append a later chunk of the same choice, in place."""
        self.text += later.text
        self.finish_reason = later.finish_reason
        if self.logprobs is not None and later.logprobs is not None:
            self.logprobs.extend(later.logprobs)
        # In place: an assignment would put a field on the wire that nobody asked for.
        self.thoughts.extend(later.thoughts)
        self.token_ids.extend(later.token_ids)


class CompletionResponse(BaseModel):
    """A whole response, and a chunk of a stream: both have the same shape."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    """Absent in a stream that did not ask for it."""

    def to_json(self) -> str:
        """ASCII, as some clients break lines at Unicode separators."""
        return _to_json(self)

    def to_bytes(self) -> bytes:
        """The same for a response of any size: call it off the event loop.

        Choice by choice, since one call holds up all other threads for as long as it takes, which
        for a hundred echoed prompts with their scores is a second.
        """
        without = self.model_copy(update={"choices": []})
        # Found once: within a string, JSON escapes the quotes.
        head, tail = _to_json(without).split('"choices":[]')
        choices = [_to_json(choice).encode() for choice in self.choices]
        return b'%b"choices":[%b]%b' % (head.encode(), b",".join(choices), tail.encode())


def _to_json(model: BaseModel) -> str:
    return model.model_dump_json(exclude_unset=True, ensure_ascii=True)
