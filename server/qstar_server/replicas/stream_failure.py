"""Ends the event stream of a replica that has gone, in the form of its endpoint.

The form is that in which the replica itself would have told of an error.
"""

import json
from typing import Any, Protocol

from qstar_server.endpoints.messages.error_envelope import error_envelope
from qstar_server.http.errors import ApiError

_FRAME_END = b"\n\n"


class FrameSplitter:
    """Cuts a stream of bytes at the ends of its events, so that none is passed on in part."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> bytes:
        """The whole events that have arrived; the beginning of the next one is kept."""
        data = self._rest + data
        end = data.rfind(_FRAME_END)
        if end < 0:
            self._rest = data
            return b""
        end += len(_FRAME_END)
        self._rest = data[end:]
        return data[:end]


class StreamFailure(Protocol):
    """Knows how the stream of one response ends after a failure."""

    def observe(self, frames: bytes) -> None:
        """Called with all whole events that the client gets."""
        ...

    def frames(self, error: ApiError) -> bytes:
        """The last events."""
        ...


def stream_failure(path: str) -> StreamFailure:
    """For a stream of the endpoint at this path."""
    kinds: dict[str, type[StreamFailure]] = {
        "/v1/responses": ResponsesFailure,
        "/v1/messages": MessagesFailure,
    }
    return kinds.get(path, DefaultFailure)()


class DefaultFailure:
    """Implements `StreamFailure` for completions and chat."""

    def observe(self, frames: bytes) -> None:
        """Nothing of the stream is needed."""

    def frames(self, error: ApiError) -> bytes:
        """The error, and the end that these streams always have."""
        return f"data: {error.json()}\n\ndata: [DONE]\n\n".encode()


class MessagesFailure:
    """Implements `StreamFailure` for messages."""

    def observe(self, frames: bytes) -> None:
        """Nothing of the stream is needed."""

    def frames(self, error: ApiError) -> bytes:
        """The error."""
        return _event("error", error_envelope(error))


class ResponsesFailure:
    """Implements `StreamFailure` for responses.

    The last event repeats the response as it was created, without the output up to now, which the
    client has from the events before.
    """

    def __init__(self) -> None:
        self._first = b""
        self._last = b""

    def observe(self, frames: bytes) -> None:
        """Keep the first event, which holds the response, and the last, which has a number."""
        events = [event for event in frames.split(_FRAME_END) if event.startswith(b"event:")]
        if events:
            self._first = self._first or events[0]
            self._last = events[-1]

    def frames(self, error: ApiError) -> bytes:
        """The error, and the response that failed."""
        detail = error.envelope()["error"]
        told = {name: detail[name] for name in ("code", "message", "param")}
        if not self._first:  # the client has had pings only
            return _event("error", {"type": "error", "sequence_number": 0} | told)
        number = _data_of(self._last)["sequence_number"]
        response = _data_of(self._first)["response"]
        failure = {"code": "server_error", "message": detail["message"]}
        failed = response | {"status": "failed", "error": failure}
        return _event("error", {"type": "error", "sequence_number": number + 1} | told) + _event(
            "response.failed",
            {"type": "response.failed", "sequence_number": number + 2, "response": failed},
        )


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _data_of(event: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.partition(b"\ndata: ")[2])
    return data
