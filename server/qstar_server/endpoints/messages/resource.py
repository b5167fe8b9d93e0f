"""The message that `/v1/messages` answers with."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qstar_server.generation.usage import TokenCounts

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"
]


class ThinkingBlock(BaseModel):
    """The joined thoughts."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: Literal[""] = ""
    """Thoughts are not signed."""


class TextBlock(BaseModel):
    """Text of the model."""

    type: Literal["text"] = "text"
    text: str
    citations: None = None


class ToolUseBlock(BaseModel):
    """A call of one of the request's tools."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


ContentBlock = Annotated[ThinkingBlock | TextBlock | ToolUseBlock, Field(discriminator="type")]


class OutputTokensDetails(BaseModel):
    """Tokens that were generated in addition to the visible ones."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    thinking_tokens: int
    """Thought tokens, without the two delimiters. Not part of `output_tokens`, which they may
    exceed."""


class MessageUsage(BaseModel):
    """Token counts, under the names of this endpoint."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    input_tokens: int
    """Tokens of the prompt that were computed."""
    cache_creation_input_tokens: int = 0
    """Always 0: writing to the cache is not metered."""
    cache_read_input_tokens: int
    """Tokens of the prompt that were not computed, because the engine had kept them."""
    output_tokens: int
    """Visible tokens."""
    output_tokens_details: OutputTokensDetails

    @classmethod
    def of(cls, counts: TokenCounts) -> "MessageUsage":
        """The usage object of these counts."""
        return cls(
            input_tokens=counts.num_prompt_tokens - counts.num_cached_tokens,
            cache_read_input_tokens=counts.num_cached_tokens,
            output_tokens=counts.num_completion_tokens,
            output_tokens_details=OutputTokensDetails(thinking_tokens=counts.num_thought_tokens),
        )


class MessageResource(BaseModel):
    """A message: whole, or as a stream begins it."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[ContentBlock]
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    """The one of `stop_sequences` that ended the text."""
    usage: MessageUsage


class TokenCount(BaseModel):
    """The answer of `/v1/messages/count_tokens`."""

    input_tokens: int
