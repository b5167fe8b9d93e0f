"""Refuses a request whose end is stated twice, because two servers may read it differently."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qstar_server.http.errors import ApiError


class FramingMiddleware:
    """Answers a request that has Content-Length and Transfer-Encoding with a 400, and hangs up.

    A proxy that believes one header and a server that believes the other disagree on where the
    next request begins, so that a client could send one in the name of another (RFC 9112, 6.3).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "content-length" in headers and "transfer-encoding" in headers:
                error = ApiError(
                    400,
                    "The request has both Content-Length and Transfer-Encoding; send one of them.",
                    code="invalid_request",
                    headers={"Connection": "close"},
                )
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)
