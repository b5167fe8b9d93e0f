"""Server-sent events as OpenAI frames them: `data: <json>`, then `data: [DONE]`."""

import logging
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from qstar_server.bridge import DeltaStream
from qstar_server.errors import describe
from qstar_server.settings import Settings

logger = logging.getLogger(__name__)

_SEPARATOR = "\n"
_DONE = "[DONE]"


class EventStream(EventSourceResponse):
    """Streams JSON texts, and ends the engine's work however the response ends.

    Args:
        frames: one JSON text per frame; an exception becomes an error frame.
        deltas: what the frames are made of; closed with the response, even one that the client
            left before its first byte, when `frames` has not begun and could not clean up.
    """

    def __init__(self, frames: AsyncIterator[str], deltas: DeltaStream, settings: Settings) -> None:
        super().__init__(
            _events(frames),
            sep=_SEPARATOR,
            send_timeout=settings.send_timeout_s,
            ping_message_factory=_ping,
            # Without this the library cuts open streams at SIGTERM; they are to finish, or to end
            # with an error when the engine closes.
            shutdown_grace_period=settings.drain_grace_s + settings.shutdown_grace_s,
        )
        self._deltas = deltas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            # Returning without a last body makes the web server drop the connection.
            logger.warning("a client stopped reading its stream; its request was dropped")
        finally:
            self._deltas.close()


async def _events(frames: AsyncIterator[str]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for frame in frames:
            yield _event(frame)
    except Exception as error:
        api_error = describe(error)
        if api_error.code == "internal_error":
            logger.exception("a stream failed")
        yield _event(api_error.json())
    yield _event(_DONE)


def _event(data: Any) -> ServerSentEvent:
    return ServerSentEvent(data, sep=_SEPARATOR)


def _ping() -> ServerSentEvent:
    # A comment: clients skip it, proxies keep the connection, and a dead peer is noticed.
    return ServerSentEvent(comment="ping", sep=_SEPARATOR)
