"""Server-sent events: `data: <json>`, and `event: <name>` before it where a frame has a name."""

import logging
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from qstar_server.generation.generation_job import GenerationJob
from qstar_server.http.errors import to_api_error
from qstar_server.http.frames import Frame, StreamForm
from qstar_server.settings.config import ServerConfig

logger = logging.getLogger(__name__)

_SEPARATOR = "\n"
_OPENAI_FORM = StreamForm()


class EventStream(EventSourceResponse):
    """Streams the frames of a job; an exception becomes an error frame.

    The job is closed with the response, whatever ends it. A client may leave before the first byte,
    when the job's own iterator has not started and could not clean up.
    """

    def __init__(
        self, job: GenerationJob, config: ServerConfig, *, form: StreamForm = _OPENAI_FORM
    ) -> None:
        """
        Args:
            form: how the endpoint's stream begins, ends and fails.
        """
        super().__init__(
            _events(job.frames(), form),
            sep=_SEPARATOR,
            ping_message_factory=_ping,
            # By default the library cuts open streams at SIGTERM. Here they may finish, or end with
            # an error when the engine closes.
            shutdown_grace_period=config.drain_grace_s + config.shutdown_grace_s,
        )
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.close()


async def _events(frames: AsyncIterator[Frame], form: StreamForm) -> AsyncIterator[ServerSentEvent]:
    try:
        for frame in form.opening:
            yield _event(frame)
        async for frame in frames:
            yield _event(frame)
    except Exception as error:
        api_error = to_api_error(error)
        if api_error.code == "internal_error":
            logger.exception("a stream failed")
        for frame in form.failure(api_error):
            yield _event(frame)
    for frame in form.end:
        yield _event(frame)


def _event(frame: Frame) -> ServerSentEvent:
    if isinstance(frame, str):
        return ServerSentEvent(frame, sep=_SEPARATOR)
    return ServerSentEvent(frame.data, event=frame.name, sep=_SEPARATOR)


def _ping() -> ServerSentEvent:
    # A comment: clients ignore it, proxies keep the connection open, and a dead peer is noticed.
    return ServerSentEvent(comment="ping", sep=_SEPARATOR)
