"""The stream of `POST /v1/responses`: what its events mean, and the whole at its end."""

from collections.abc import Iterator

from qstar_client._answer_types import CompletionTokensDetails, PromptTokensDetails, Usage
from qstar_client._errors import StreamError
from qstar_client._events import (
    FinishEvent,
    ReasoningEvent,
    StreamEvent,
    TextEvent,
    ThoughtEvent,
    ToolCallEvent,
    UsageEvent,
)
from qstar_client._responses.types import (
    Response,
    ResponseOutputItem,
    ResponseStreamEvent,
    ResponseUsage,
)
from qstar_client._stream_reader import StreamFormat

_LAST = frozenset({"response.completed", "response.incomplete"})
_REASONING = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})


class ResponseJoiner:
    """Keeps the `Response` of the last event, which is the whole."""

    def __init__(self) -> None:
        self._whole: Response | None = None

    def add(self, event: ResponseStreamEvent) -> None:
        """Look at one event."""
        if event.type in _LAST:
            self._whole = event.response

    def join(self) -> Response:
        """The whole response.

        Raises:
            StreamError: no event contained it.
        """
        if self._whole is None:
            raise StreamError("the stream contained no response.completed event")
        return self._whole


def response_events(event: ResponseStreamEvent) -> Iterator[StreamEvent]:
    """What happens in an event of the server. Events that only frame others give nothing."""
    for thought in event.thoughts or ():
        yield ThoughtEvent(thought)
    if event.type in _REASONING and event.delta:
        yield ReasoningEvent(event.delta)
    elif event.type == "response.output_text.delta" and event.delta:
        yield TextEvent(event.delta)
    elif event.type == "response.function_call_arguments.delta" and event.delta:
        yield ToolCallEvent(tool_index=event.output_index or 0, arguments=event.delta)
    elif event.type == "response.output_item.added" and event.item is not None:
        yield from _call_begins(event.item, event.output_index or 0)
    elif event.type in _LAST and event.response is not None:
        yield FinishEvent(_finish_reason(event.response))
        if event.response.usage is not None:
            yield UsageEvent(_usage(event.response.usage))


RESPONSE_STREAM = StreamFormat(
    chunk_type=ResponseStreamEvent,
    joiner=ResponseJoiner,
    events=response_events,
    is_last=lambda event: event.type in _LAST,
)


def _call_begins(item: ResponseOutputItem, index: int) -> Iterator[StreamEvent]:
    if item.type == "function_call":
        yield ToolCallEvent(tool_index=index, arguments="", name=item.name, id=item.call_id)


def _finish_reason(response: Response) -> str:
    """The reason under the name that completions and chat have for it."""
    reason = response.incomplete_details and response.incomplete_details.reason
    if reason == "max_output_tokens":
        return "length"
    return reason or "stop"


def _usage(usage: ResponseUsage) -> Usage:
    """The same counts under the names that completions and chat have for them."""
    cached = usage.input_tokens_details
    thought = usage.output_tokens_details
    return Usage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=cached and PromptTokensDetails(cached_tokens=cached.cached_tokens),
        completion_tokens_details=thought
        and CompletionTokensDetails(reasoning_tokens=thought.reasoning_tokens),
    )
