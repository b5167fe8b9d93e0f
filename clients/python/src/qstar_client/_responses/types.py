"""Answers of `POST /v1/responses`, with the names of the openai package's types."""

from qstar_client._answer_types import AnswerModel, ChatCompletionTokenLogprob, Thought
from qstar_client._view.html import answer_html


class ResponseContent(AnswerModel):
    """A part of a message (`output_text`, `refusal`) or of a reasoning item (`reasoning_text`)."""

    type: str
    text: str | None = None
    logprobs: list[ChatCompletionTokenLogprob] | None = None
    """Empty unless requested with `include=["message.output_text.logprobs"]`."""


class ResponseOutputItem(AnswerModel):
    """An item of the output: a message, the reasoning before it, or a call of a function."""

    type: str
    """`message`, `reasoning` or `function_call`."""
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: list[ResponseContent] | None = None
    summary: list[ResponseContent] | None = None
    name: str | None = None
    """Of a function call: the function."""
    arguments: str | None = None
    """Of a function call: JSON as the model wrote it. It may be invalid."""
    call_id: str | None = None


class InputTokensDetails(AnswerModel):
    """Details of `input_tokens`."""

    cached_tokens: int = 0
    """Tokens read from the prefix cache."""


class OutputTokensDetails(AnswerModel):
    """Details of `output_tokens`."""

    reasoning_tokens: int = 0
    """Thought tokens."""


class ResponseUsage(AnswerModel):
    """Token counts of a response."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails | None = None
    output_tokens_details: OutputTokensDetails | None = None


class ResponseError(AnswerModel):
    """Why a response failed."""

    code: str | None = None
    message: str | None = None


class IncompleteDetails(AnswerModel):
    """Why a response is incomplete."""

    reason: str | None = None
    """`max_output_tokens` or `content_filter`."""


class Response(AnswerModel):
    """The answer of `responses.create`. A notebook shows its thoughts."""

    id: str
    object: str
    created_at: float
    """Unix time in seconds."""
    model: str
    status: str | None = None
    """`completed`, `incomplete`, `failed` or `in_progress`."""
    output: list[ResponseOutputItem]
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    usage: ResponseUsage | None = None
    thoughts: list[Thought] | None = None
    """One per visible token; None unless requested with `show_thoughts`."""

    @property
    def output_text(self) -> str:
        """The visible text of all messages."""
        parts = [part for item in self.output for part in item.content or ()]
        return "".join(part.text or "" for part in parts if part.type == "output_text")

    def _repr_html_(self) -> str | None:
        return answer_html([self.thoughts])


class ResponseStreamEvent(AnswerModel):
    """One event of a stream, as the server names it. Which fields it has depends on the type."""

    type: str
    """For example `response.output_text.delta`, `response.completed`."""
    sequence_number: int | None = None
    response: Response | None = None
    item: ResponseOutputItem | None = None
    part: ResponseContent | None = None
    output_index: int | None = None
    content_index: int | None = None
    item_id: str | None = None
    delta: str | None = None
    text: str | None = None
    thoughts: list[Thought] | None = None
    """Thoughts of the tokens in this event; None unless requested with `show_thoughts`."""
