"""The response object of `/v1/responses`, and the items of its output.

Written field by field as OpenAI's `Response`, so that its clients find every field they require.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from qstar_server.generation.thoughts import ThoughtEntry
from qstar_server.generation.token_logprobs import TokenLogprob
from qstar_server.generation.usage import TokenCounts

Status = Literal["in_progress", "completed", "incomplete", "failed"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(BaseModel):
    """The text of a message."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = []
    logprobs: list[TokenLogprob] = []
    """Empty unless `include` asks for them."""


class OutputMessage(BaseModel):
    """A message of the model."""

    id: str
    type: Literal["message"] = "message"
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText]


class ReasoningText(BaseModel):
    """The joined thoughts."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str


class ReasoningItem(BaseModel):
    """The thoughts of the whole output; only where `include_reasoning` asks for them."""

    id: str
    type: Literal["reasoning"] = "reasoning"
    status: ItemStatus
    summary: list[Any] = []
    content: list[ReasoningText]


class FunctionCall(BaseModel):
    """A call of one of the request's functions."""

    id: str
    type: Literal["function_call"] = "function_call"
    status: ItemStatus
    call_id: str
    name: str
    arguments: str
    """A JSON object, as text."""


OutputItem = ReasoningItem | OutputMessage | FunctionCall


class InputTokensDetails(BaseModel):
    """What was done with the input's tokens."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    cached_tokens: int
    """Input tokens that were not computed, because the engine had kept them."""
    cache_write_tokens: int = 0
    """Always 0: writing to the cache is not metered."""


class OutputTokensDetails(BaseModel):
    """Tokens that were generated in addition to the visible ones."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    reasoning_tokens: int
    """Thought tokens, without the two delimiters. Not part of `output_tokens`, which they may
    exceed, nor of `total_tokens`."""


class ResponseUsage(BaseModel):
    """Token counts, under the names of this endpoint."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    """Visible tokens."""
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    """`input_tokens` plus `output_tokens`."""

    @classmethod
    def of(cls, counts: TokenCounts) -> "ResponseUsage":
        """The usage object of these counts."""
        return cls(
            input_tokens=counts.num_prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=counts.num_cached_tokens),
            output_tokens=counts.num_completion_tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=counts.num_thought_tokens),
            total_tokens=counts.num_prompt_tokens + counts.num_completion_tokens,
        )


class IncompleteDetails(BaseModel):
    """Why the response is incomplete."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseFailure(BaseModel):
    """Why the response failed."""

    code: Literal["server_error"] = "server_error"
    message: str


class Response(BaseModel):
    """A response: whole, or in the events of a stream as far as it is."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    """Unix time, seconds."""
    status: Status
    background: Literal[False] = False
    completed_at: int | None = None
    error: ResponseFailure | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool
    previous_response_id: None = None
    prompt_cache_key: str | None
    reasoning: dict[str, str | None]
    safety_identifier: str | None
    service_tier: Literal["default"] = "default"
    store: Literal[False] = False
    """Nothing is stored, whatever the request leaves out."""
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None
    thoughts: list[ThoughtEntry] | None = None
    """One entry for each visible token; left out unless `show_thoughts` is true."""
