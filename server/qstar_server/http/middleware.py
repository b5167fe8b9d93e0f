"""ASGI middleware: request ids, HEAD, and a response to unexpected exceptions."""

import logging
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qstar_server.http.errors import to_api_error

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"
_MAX_REQUEST_ID_CHARS = 128


class RequestIdMiddleware:
    """Gives every response an `x-request-id`: the caller's if it is valid, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _valid_or_new(Headers(scope=scope).get(REQUEST_ID_HEADER))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class HeadMiddleware:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await self._app(dict(scope) | {"method": "GET"}, receive, send_without_body)


class ErrorBoundaryMiddleware:
    """Turns an unexpected exception into a 500 with the error envelope, and logs it.

    Starlette's own handler for this runs outside all middleware, so its response would have no
    request id. After the first byte the exception is passed to the web server, which closes the
    connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        is_started = False

        async def watched_send(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            logger.debug("client disconnected while sending its request")
        except Exception as error:
            if scope["type"] != "http" or is_started:
                raise
            request_id = scope.get("state", {}).get("request_id")
            logger.exception("request %s failed", request_id)
            await to_api_error(error).response()(scope, receive, send)


def _valid_or_new(request_id: str | None) -> str:
    if not request_id or len(request_id) > _MAX_REQUEST_ID_CHARS:
        return uuid.uuid4().hex
    is_valid = request_id.isascii() and request_id.isprintable()
    return request_id if is_valid else uuid.uuid4().hex
