"""Responses of `POST /v1/chat/completions`, with the names of the openai package's types."""

from qstar_client._answer_types import AnswerModel, ChatCompletionTokenLogprob, Thought, Usage
from qstar_client._view.html import answer_html


class ChoiceLogprobs(AnswerModel):
    """Log-probabilities of a message; in a stream, those of the chunk's tokens."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


class FunctionCall(AnswerModel):
    """The function that the model calls; in a stream, a part of it."""

    name: str | None = None
    arguments: str | None = None
    """JSON as the model wrote it. It may be invalid."""


class ToolCall(AnswerModel):
    """A call of a tool; in a stream, a part of it."""

    index: int | None = None
    """In a stream: which call of the message this is part of."""
    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None


class _AnyMessage(AnswerModel):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    """The joined thoughts, if requested with `include_reasoning`."""
    reasoning_content: str | None = None
    """The same, under the other name that clients know."""
    tool_calls: list[ToolCall] | None = None


class ChatCompletionMessage(_AnyMessage):
    """What the model said. It can be appended to the `messages` of the next request."""

    role: str = "assistant"


class ChoiceDelta(_AnyMessage):
    """What one chunk adds to the message."""

    role: str | None = None
    """Only in the first chunk."""


class _AnyChoice(AnswerModel):
    index: int
    finish_reason: str | None = None
    """`stop`, `length`, or `tool_calls`; None before the end of a stream."""
    logprobs: ChoiceLogprobs | None = None
    """None unless requested with `logprobs`."""
    thoughts: list[Thought] | None = None
    """One per visible token; None unless requested with `show_thoughts`."""
    token_ids: list[int] | None = None
    """Ids of the visible tokens; None unless requested with `return_token_ids`."""

    def _repr_html_(self) -> str | None:
        return answer_html([self.thoughts])


class ChatCompletionChoice(_AnyChoice):
    """One answer of the model. A notebook shows its thoughts."""

    message: ChatCompletionMessage


class ChatCompletionChunkChoice(_AnyChoice):
    """What one chunk adds to one answer."""

    delta: ChoiceDelta


class _AnyCompletion(AnswerModel):
    id: str
    object: str
    created: int
    """Unix time in seconds."""
    model: str
    usage: Usage | None = None
    system_fingerprint: str | None = None
    prompt_token_ids: list[int] | None = None
    """Ids of the rendered conversation; None unless requested with `return_token_ids`."""


class ChatCompletion(_AnyCompletion):
    """The response of `chat.completions.create`. A notebook shows its thoughts."""

    choices: list[ChatCompletionChoice]

    def _repr_html_(self) -> str | None:
        return answer_html([choice.thoughts for choice in self.choices])


class ChatCompletionChunk(_AnyCompletion):
    """One event of a stream. If usage was requested, the last one has `usage` and no choices."""

    choices: list[ChatCompletionChunkChoice]
