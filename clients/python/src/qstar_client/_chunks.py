"""From the bytes of a completion stream to chunks, and from chunks to the whole. No I/O."""

import json
from collections import deque

from pydantic import ValidationError

from qstar_client._answers import error_fields, summary
from qstar_client._errors import StreamError
from qstar_client._sse import ServerSentEvent, SSEDecoder
from qstar_client._types import Completion, CompletionChoice, CompletionChunk, Logprobs

_DONE = "[DONE]"


class ChunkReader:
    """Feed it bytes, pop chunks. What came before an error is delivered before the error."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._events: deque[ServerSentEvent] = deque()
        self._is_ended = False
        self.is_done = False
        """The end mark was popped: the stream is whole."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the response body."""
        self._events.extend(self._decoder.feed(piece))

    def end(self) -> None:
        """Note that the body has ended."""
        self._events.extend(self._decoder.flush())
        self._is_ended = True

    def pop(self) -> CompletionChunk | None:
        """The next chunk; None when more bytes are needed or the stream `is_done`.

        Raises:
            StreamError: the server reported an error, or the stream is broken or cut short.
        """
        if self._events and not self.is_done:
            event = self._events.popleft()
            if event.data.strip() != _DONE:
                return _chunk(event)
            self.is_done = True
        if self._is_ended and not self.is_done:
            raise StreamError("the stream ended early: no [DONE] after the last chunk")
        return None


class CompletionBuilder:
    """Joins the chunks of one stream into what `create` would have returned.

    Of fields this client does not know, the last chunk that has one wins.
    """

    def __init__(self) -> None:
        self._whole: Completion | None = None
        self._choices: dict[int, CompletionChoice] = {}

    def add(self, chunk: CompletionChunk) -> None:
        """Append one chunk; chunks of several choices may interleave."""
        if self._whole is None:
            self._whole = Completion.model_validate(chunk.model_dump(exclude={"choices"}) | _EMPTY)
        else:
            _update(self._whole, chunk, skip={"choices"})
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                self._choices[delta.index] = delta.model_copy(deep=True)
            else:
                _extend_choice(choice, delta)

    def build(self) -> Completion:
        """The whole completion, choices in order. Add nothing afterwards.

        Raises:
            StreamError: no chunk came.
        """
        if self._whole is None:
            raise StreamError("the stream held no chunk")
        choices = [self._choices[index] for index in sorted(self._choices)]
        return self._whole.model_copy(update={"choices": choices})


_EMPTY: dict[str, object] = {"choices": []}


def _chunk(event: ServerSentEvent) -> CompletionChunk:
    try:
        body = json.loads(event.data)
    except ValueError:
        body = event.data
    is_error = event.event == "error" or (isinstance(body, dict) and body.get("error"))
    if is_error:
        message, param, code = error_fields(body)
        raise StreamError(message or "the server gave no reason", param=param, code=code, body=body)
    try:
        return CompletionChunk.model_validate(body)
    except ValidationError as error:
        # The event itself stays out of the message: it holds generated text.
        raise StreamError(f"an event of the stream is not a chunk: {summary(error)}") from None


def _extend_choice(choice: CompletionChoice, delta: CompletionChoice) -> None:
    """Append in place: `choice` is the builder's own copy, lists included."""
    _update(choice, delta, skip={"index", "text", "thoughts", "token_ids", "logprobs"})
    choice.text += delta.text
    if delta.thoughts is not None:
        choice.thoughts = choice.thoughts if choice.thoughts is not None else []
        choice.thoughts += delta.thoughts
    if delta.token_ids is not None:
        choice.token_ids = choice.token_ids if choice.token_ids is not None else []
        choice.token_ids += delta.token_ids
    if choice.logprobs is None:
        choice.logprobs = delta.logprobs and delta.logprobs.model_copy(deep=True)
    elif delta.logprobs is not None:
        _extend_logprobs(choice.logprobs, delta.logprobs)


def _extend_logprobs(target: Logprobs, delta: Logprobs) -> None:
    target.tokens += delta.tokens
    target.token_logprobs += delta.token_logprobs
    target.text_offset += delta.text_offset
    if target.top_logprobs is not None and delta.top_logprobs is not None:
        target.top_logprobs += delta.top_logprobs


def _update(
    target: Completion | CompletionChoice,
    source: Completion | CompletionChoice,
    *,
    skip: set[str],
) -> None:
    for name, value in source:
        if name not in skip and value is not None:
            setattr(target, name, value)
