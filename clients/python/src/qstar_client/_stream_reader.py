"""Parses the stream of any endpoint into chunks. No I/O."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import ValidationError

from qstar_client._answer_types import AnswerModel
from qstar_client._answers import WRONG_SERVER_HINT, error_fields, json_or_text, summary
from qstar_client._errors import StreamError
from qstar_client._events import StreamEvent
from qstar_client._sse import ServerSentEvent, SSEDecoder

_DONE = "[DONE]"

Chunk = TypeVar("Chunk", bound=AnswerModel)
ChunkIn = TypeVar("ChunkIn", contravariant=True)
Whole = TypeVar("Whole")
WholeOut = TypeVar("WholeOut", covariant=True)


class Joiner(Protocol[ChunkIn, WholeOut]):
    """Joins the chunks of a stream to the answer that `create` would have returned."""

    def add(self, chunk: ChunkIn, /) -> None:
        """Append one chunk, and leave it as it is."""

    def join(self) -> WholeOut:
        """The whole. Call it last.

        Raises:
            StreamError: chunks are missing.
        """


@dataclass(frozen=True, slots=True)
class StreamFormat(Generic[Chunk, Whole]):
    """What differs between the streams of the endpoints."""

    chunk_type: type[Chunk]
    joiner: Callable[[], Joiner[Chunk, Whole]]
    events: Callable[[Chunk], Iterator[StreamEvent]]
    """What happens in a chunk."""
    is_last: Callable[[Chunk], bool]
    """Whether the stream is complete after this chunk, without `[DONE]`."""


class StreamReader(Generic[Chunk, Whole]):
    """Takes bytes and returns chunks. Chunks before an error are returned before it is raised."""

    def __init__(self, form: StreamFormat[Chunk, Whole]) -> None:
        self._form = form
        self._joiner = form.joiner()
        self._decoder = SSEDecoder()
        self._events: deque[ServerSentEvent] = deque()
        self._has_chunks = False
        self._is_ended = False
        self.is_done = False
        """True when `[DONE]` or the last chunk was read, so that the stream is complete."""

    def feed(self, piece: bytes) -> None:
        """Add the next bytes of the response body."""
        self._events.extend(self._decoder.feed(piece))

    def end(self) -> None:
        """Mark the end of the response body."""
        self._events.extend(self._decoder.flush())
        self._is_ended = True

    def pop(self) -> Chunk | None:
        """The next chunk; None if more bytes are needed or the stream `is_done`.

        Raises:
            StreamError: the server reported an error, or the stream is malformed or incomplete.
        """
        if self._events and not self.is_done:
            event = self._events.popleft()
            if event.data.strip() != _DONE:
                chunk = self._parse(event)
                self.is_done = self._form.is_last(chunk)
                self._has_chunks = True
                self._joiner.add(chunk)
                return chunk
            self.is_done = True
        if self._is_ended and not self.is_done:
            # Without a single chunk it was no event stream, but for example a web page.
            hint = "" if self._has_chunks else f"; {WRONG_SERVER_HINT}"
            raise StreamError(f"the stream ended early: no [DONE] after the last chunk{hint}")
        return None

    def check_readable(self, *, is_closed: bool) -> None:
        """Refuse a loop that would silently miss the rest of a stream.

        Raises:
            StreamError: the stream was closed, also by leaving a loop early, before its end.
        """
        if is_closed and not self.is_done:
            raise StreamError("the stream was closed before it ended")

    def join(self) -> Whole:
        """The whole answer.

        Raises:
            StreamError: the stream is not complete.
        """
        self.check_readable(is_closed=True)
        return self._joiner.join()

    def _parse(self, event: ServerSentEvent) -> Chunk:
        body = json_or_text(event.data)
        error = _reported_error(event.event, body)
        if error is not None:
            message, param, code = error_fields(error)
            raise StreamError(
                message or "the server sent no error message", param=param, code=code, body=body
            )
        try:
            return self._form.chunk_type.model_validate(body)
        except ValidationError as invalid:
            # The event contains generated text, so the message does not quote it.
            raise StreamError(
                f"an event of the stream is not a chunk: {summary(invalid)}; {WRONG_SERVER_HINT}"
            ) from None


def _reported_error(name: str, body: object) -> object | None:
    """The error that an event reports, in one of the forms that servers use, or None."""
    if name == "error":
        return body
    if not isinstance(body, dict):
        return None
    if body.get("error") or body.get("type") == "error":
        return body
    response = body.get("response")
    if body.get("type") == "response.failed" and isinstance(response, dict):
        return response.get("error") or {}
    return None
