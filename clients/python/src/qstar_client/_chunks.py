"""Parses a completion stream into chunks, and joins chunks to a completion. No I/O."""

import json
from collections import deque

from pydantic import ValidationError

from qstar_client._answers import error_fields, summary
from qstar_client._errors import StreamError
from qstar_client._sse import ServerSentEvent, SSEDecoder
from qstar_client._types import Completion, CompletionChoice, CompletionChunk, Logprobs

_DONE = "[DONE]"


class ChunkReader:
    """Takes bytes and returns chunks. Chunks before an error are returned before it is raised."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._events: deque[ServerSentEvent] = deque()
        self._is_ended = False
        self.is_done = False
        """True when `[DONE]` was read, so that the stream is complete."""

    def feed(self, piece: bytes) -> None:
        """Add the next bytes of the response body."""
        self._events.extend(self._decoder.feed(piece))

    def end(self) -> None:
        """Mark the end of the response body."""
        self._events.extend(self._decoder.flush())
        self._is_ended = True

    def pop(self) -> CompletionChunk | None:
        """The next chunk; None if more bytes are needed or the stream `is_done`.

        Raises:
            StreamError: the server reported an error, or the stream is malformed or incomplete.
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
    """Joins the chunks of a stream into the completion that `create` would have returned.

    For fields that this client does not know, the value of the last chunk wins.
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
        """The whole completion, with choices in order. Call it last.

        Raises:
            StreamError: there were no chunks.
        """
        if self._whole is None:
            raise StreamError("the stream contained no chunks")
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
        raise StreamError(
            message or "the server sent no error message", param=param, code=code, body=body
        )
    try:
        return CompletionChunk.model_validate(body)
    except ValidationError as error:
        # The event contains generated text, so the message does not quote it.
        raise StreamError(f"an event of the stream is not a chunk: {summary(error)}") from None


def _extend_choice(choice: CompletionChoice, delta: CompletionChoice) -> None:
    """Append in place; `choice` and its lists belong to the builder."""
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
