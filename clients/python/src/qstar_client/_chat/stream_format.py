"""The stream of `POST /v1/chat/completions`: its events, and the whole out of its chunks."""

from collections.abc import Iterator

from qstar_client._chat.types import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionMessage,
    ChoiceDelta,
    ChoiceLogprobs,
    FunctionCall,
    ToolCall,
)
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
from qstar_client._joining import appended, extended, update
from qstar_client._stream_reader import StreamFormat

_TEXTS = ("content", "refusal", "reasoning", "reasoning_content")


class ChatCompletionJoiner:
    """Joins chunks to a `ChatCompletion`. For unknown fields, the value of the last chunk wins."""

    def __init__(self) -> None:
        self._whole: ChatCompletion | None = None
        self._choices: dict[int, ChatCompletionChoice] = {}

    def add(self, chunk: ChatCompletionChunk) -> None:
        """Append one chunk; chunks of several choices may interleave."""
        if self._whole is None:
            fields = chunk.model_dump(exclude={"choices"})
            fields |= {"choices": [], "object": "chat.completion"}
            self._whole = ChatCompletion.model_validate(fields)
        else:
            update(self._whole, chunk, skip={"choices", "object"})
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = ChatCompletionChoice(index=delta.index, message=ChatCompletionMessage())
                self._choices[delta.index] = choice
            _extend_choice(choice, delta)

    def join(self) -> ChatCompletion:
        """The whole completion, with choices in order. Call it last.

        Raises:
            StreamError: there were no chunks.
        """
        if self._whole is None:
            raise StreamError("the stream contained no chunks")
        choices = [self._choices[index] for index in sorted(self._choices)]
        return self._whole.model_copy(update={"choices": choices})


def chat_events(chunk: ChatCompletionChunk) -> Iterator[StreamEvent]:
    """What happens in a chunk."""
    for choice in chunk.choices:
        index, delta = choice.index, choice.delta
        for thought in choice.thoughts or ():
            yield ThoughtEvent(thought, index)
        reasoning = delta.reasoning or delta.reasoning_content
        if reasoning:
            yield ReasoningEvent(reasoning, index)
        if delta.content:
            yield TextEvent(delta.content, index)
        for position, call in enumerate(delta.tool_calls or ()):
            yield _tool_event(call, position, index)
        if choice.finish_reason is not None:
            yield FinishEvent(choice.finish_reason, index)
    if chunk.usage is not None:
        yield UsageEvent(chunk.usage)


CHAT_STREAM = StreamFormat(
    chunk_type=ChatCompletionChunk,
    joiner=ChatCompletionJoiner,
    events=chat_events,
    is_last=lambda _: False,
)


def _tool_event(call: ToolCall, position: int, choice_index: int) -> ToolCallEvent:
    function = call.function or FunctionCall()
    return ToolCallEvent(
        tool_index=position if call.index is None else call.index,
        arguments=function.arguments or "",
        name=function.name,
        id=call.id,
        choice_index=choice_index,
    )


def _extend_choice(choice: ChatCompletionChoice, delta: ChatCompletionChunkChoice) -> None:
    update(choice, delta, skip={"index", "delta", "thoughts", "token_ids", "logprobs"})
    choice.thoughts = extended(choice.thoughts, delta.thoughts)
    choice.token_ids = extended(choice.token_ids, delta.token_ids)
    if delta.logprobs is not None:
        choice.logprobs = _joined_logprobs(choice.logprobs or ChoiceLogprobs(), delta.logprobs)
    _extend_message(choice.message, delta.delta)


def _joined_logprobs(target: ChoiceLogprobs, more: ChoiceLogprobs) -> ChoiceLogprobs:
    target.content = extended(target.content, more.content)
    target.refusal = extended(target.refusal, more.refusal)
    return target


def _extend_message(message: ChatCompletionMessage, delta: ChoiceDelta) -> None:
    update(message, delta, skip={*_TEXTS, "tool_calls"})
    for name in _TEXTS:
        setattr(message, name, appended(getattr(message, name), getattr(delta, name)))
    for position, part in enumerate(delta.tool_calls or ()):
        message.tool_calls = message.tool_calls if message.tool_calls is not None else []
        _extend_tool_calls(message.tool_calls, part, position)


def _extend_tool_calls(calls: list[ToolCall], part: ToolCall, position: int) -> None:
    """Append a part to its call. A whole message numbers its calls by their order alone."""
    index = position if part.index is None else part.index
    call = next((call for call in calls if call.index == index), None)
    if call is None:
        call = ToolCall(index=index, function=FunctionCall())
        calls.append(call)
    update(call, part, skip={"index", "function"})
    if part.function is not None and call.function is not None:
        update(call.function, part.function, skip={"arguments"})
        call.function.arguments = appended(call.function.arguments, part.function.arguments)
