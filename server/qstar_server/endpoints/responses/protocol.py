"""Request types of `POST /v1/responses`; `resource.py` has what it answers."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from qstar_infer.errors import RequestError, shown
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import MAX_INTEGER, MAX_LOGPROBS, SamplingParams
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_server.conversation.conversation import MAX_MESSAGES, MAX_TOOLS
from qstar_server.generation.generation_request import GenerationRequest

DEFAULT_MAX_TOP_LOGPROBS = 20
"""Most `top_logprobs`, if the operator does not say."""
_LOGPROBS = "message.output_text.logprobs"
_MAX_METADATA = 16

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _check_input(value: object) -> object:
    # Before pydantic checks the items: each wrong one costs an error.
    if isinstance(value, list) and not 0 < len(value) <= MAX_MESSAGES:
        raise ValueError(f"has {len(value)} items; give 1 to {MAX_MESSAGES}")
    return value


def _check_metadata(value: object) -> object:
    if isinstance(value, dict) and len(value) > _MAX_METADATA:
        raise ValueError(f"has {len(value)} entries; the most is {_MAX_METADATA}")
    return value


Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=_MAX_METADATA),
    BeforeValidator(_check_metadata),
]
_Items = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_MESSAGES)]
_Label = Annotated[str, StringConstraints(max_length=512)]


class ReasoningConfig(BaseModel):
    """How to think. Values that need more than thoughts before each token are refused."""

    model_config = ConfigDict(strict=True, extra="forbid")

    effort: Effort | None = None
    """Like `reasoning_effort` in chat."""
    summary: Literal["auto"] | None = None
    """This server writes no summaries: `auto` gives none. `include_reasoning` shows thoughts."""
    generate_summary: Literal["auto"] | None = None
    context: Literal["auto", "current_turn"] | None = None
    """The model never reads the thoughts of earlier turns."""
    mode: Literal["standard"] | None = None


class TextFormat(BaseModel):
    """The form of the text. `strict` and `description` change nothing: a schema is followed."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str | None, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")] = None
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    """Required by `json_schema`, and only for it; likewise `name`."""
    strict: bool | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> "TextFormat":
        is_schema = self.type == "json_schema"
        for name, value in (("name", self.name), ("schema", self.schema_)):
            if is_schema != (value is not None):
                raise ValueError(f"{name} is needed by json_schema, and has no use in other types")
        return self

    def form(self) -> StructuredOutputs | None:
        """What the engine has to follow; None for `text`.

        Raises:
            RequestError: the schema is too large or no schema.
        """
        if self.type == "text":
            return None
        if self.schema_ is None:
            return StructuredOutputs(json_object=True, param="text.format")
        return StructuredOutputs(json=self.schema_, param="text.format")


class TextConfig(BaseModel):
    """How to write."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None
    """The model has only its own way of writing."""


class FunctionTool(BaseModel):
    """A function that the model may call. This server has no tools of its own."""

    model_config = ConfigDict(strict=True)

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON schema of the arguments."""
    strict: bool | None = None
    """Changes nothing; `tool_choice: required` makes arguments follow the schema."""


class FunctionChoice(BaseModel):
    """This function must be called."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: Literal["function"]
    name: str


class ResponsesRequest(GenerationRequest):
    """OpenAI's request, the sampling fields that all endpoints share, and the thought fields."""

    input: Annotated[str | _Items, BeforeValidator(_check_input)]
    """A text, or items of type message, function_call, function_call_output or reasoning."""
    instructions: str | None = None
    """A system message before the input."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    """Most visible and thought tokens together; null fills the context."""
    max_tool_calls: int | None = None
    """Limits calls of OpenAI's own tools, so it changes nothing here."""
    reasoning: ReasoningConfig | None = None
    include_reasoning: bool | None = None
    """Adds an item with the joined thoughts to the output."""
    text: TextConfig | None = None
    tools: Annotated[list[FunctionTool] | None, Field(max_length=MAX_TOOLS)] = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """Only with `include: ["message.output_text.logprobs"]`."""
    include: Annotated[list[str] | None, Field(max_length=16)] = None
    metadata: Metadata | None = None
    user: _Label | None = None
    safety_identifier: _Label | None = None
    prompt_cache_key: _Label | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    """Every request gets the tier `default`."""
    truncation: Literal["disabled"] | None = None
    """An input that is too long is an error."""

    @model_validator(mode="after")
    def _take_effort(self) -> "ResponsesRequest":
        """`reasoning.effort` is this endpoint's name of `reasoning_effort`."""
        effort = None if self.reasoning is None else self.reasoning.effort
        if effort is not None:
            if self.reasoning_effort not in (None, effort):
                raise ValueError("reasoning.effort and reasoning_effort differ; leave out one")
            self.reasoning_effort = effort
        return self

    @property
    def has_logprobs(self) -> bool:
        """Whether the text's log-probabilities are to be shown."""
        return self.include is not None and _LOGPROBS in self.include

    def to_sampling_params(
        self, defaults: SamplingDefaults, *, grammar: str | None
    ) -> SamplingParams:
        """The sampling settings. Takes time with the schema's size: call it off the event loop.

        Args:
            defaults: the checkpoint's, for fields that are null.
            grammar: what `tool_choice` demands, in Lark's syntax.

        Raises:
            RequestError: a value is out of range or contradicts another; `param` names the field.
        """
        count = 0 if self.top_logprobs is None else self.top_logprobs
        return self.build_sampling_params(
            defaults,
            max_tokens=None,
            best_of=None,
            logprobs=count if self.has_logprobs else None,
            prompt_logprobs=None,
            max_completion_tokens=self.max_output_tokens,
            structured_outputs=self._form(grammar),
        )

    def _form(self, grammar: str | None) -> StructuredOutputs | None:
        """The form of the text that `text.format` or `tool_choice` asks for."""
        asked = None if self.text is None or self.text.format is None else self.text.format.form()
        if grammar is None:
            return asked
        if asked is not None:
            raise RequestError(
                "text.format and tool_choice both say what form the text must have; leave out one",
                param="tool_choice",
            )
        return StructuredOutputs(grammar=grammar, param="tool_choice")


def check_contradictions(request: ResponsesRequest) -> None:
    """Check fields that depend on each other, or that have values this server does not know.

    Raises:
        RequestError: `param` names the field.
    """
    if request.n not in (None, 1):
        raise RequestError("n must be 1: this endpoint gives one response", param="n")
    if request.response_format is not None:
        raise RequestError(
            "response_format is not supported: this endpoint calls it text.format",
            param="response_format",
        )
    if request.return_token_ids:
        raise RequestError(
            "return_token_ids is not supported: OpenAI's responses have no place for them",
            param="return_token_ids",
        )
    if request.has_logprobs and request.tools:
        raise RequestError(
            f"include {_LOGPROBS} cannot be combined with tools: what belongs to the text, and not "
            "to a call, is known only later",
            param="include",
        )
    for name in request.include or []:
        if name != _LOGPROBS:
            raise RequestError(
                f"include: {shown(name)} is not supported; this server knows only {_LOGPROBS}",
                param="include",
            )
    if request.top_logprobs and not request.has_logprobs:
        raise RequestError(f'top_logprobs needs include: ["{_LOGPROBS}"]', param="top_logprobs")
