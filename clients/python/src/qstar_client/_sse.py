"""Incremental decoder of server-sent events: bytes in, events out, no I/O.

Follows the event stream grammar of the HTML standard, with one deliberate difference: `flush`
returns an event whose final blank line is missing, because some proxies and servers drop it.
"""

import re
from dataclasses import dataclass

from qstar_client._errors import StreamError

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Most bytes of one event, so that a broken server cannot fill the client's memory."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id` and `retry` are ignored, because a generation cannot be resumed."""

    data: str
    event: str = "message"


class SSEDecoder:
    """Decodes one event stream, which may be split into pieces anywhere.

    Args:
        max_event_bytes: most bytes of one event or one line.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()
        self._after_cr = False
        self._is_first_line = True
        self._reset_event()

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Add the next bytes and return the events that they complete.

        Raises:
            StreamError: an event or a line is longer than the limit.
        """
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")  # the second half of a CRLF
            self._after_cr = False
        events = []
        start = 0
        for line_end in _LINE_END.finditer(piece):
            event = self._end_line(piece[start : line_end.start()])
            if event is not None:
                events.append(event)
            start = line_end.end()
        self._extend_line(piece[start:])
        self._after_cr = self._after_cr or piece.endswith(b"\r")
        return events

    def flush(self) -> list[ServerSentEvent]:
        """End the stream and return its last event if its blank line is missing."""
        events = [self._end_line(b""), self._end_event()]
        return [event for event in events if event is not None]

    def _reset_event(self) -> None:
        self._data: list[str] = []
        self._data_bytes = 0
        self._event = ""

    def _extend_line(self, piece: bytes) -> None:
        self._line += piece
        if len(self._line) + self._data_bytes > self._max_event_bytes:
            raise StreamError(
                f"the server sent an event of more than {self._max_event_bytes} bytes"
            )

    def _end_line(self, last_piece: bytes) -> ServerSentEvent | None:
        self._extend_line(last_piece)
        line = bytes(self._line)
        self._line.clear()
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            return self._end_event()
        # A whole line can be decoded: CR and LF never occur inside a multi-byte character.
        name, _, value = line.decode("utf-8", errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_bytes += len(line)
        elif name == "event":
            self._event = value
        return None

    def _end_event(self) -> ServerSentEvent | None:
        event = None
        if self._data:
            event = ServerSentEvent("\n".join(self._data), self._event or "message")
        self._reset_event()
        return event
