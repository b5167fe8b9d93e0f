"""Middleware that refuses the requests of connections above the limit."""

from starlette.types import ASGIApp, Receive, Scope, Send

from qstar_server.http.errors import overloaded

IS_SURPLUS = "is_surplus"
"""In the state of a request whose connection is one too many; see `HttpConnection`."""


class SurplusMiddleware:
    """Answers 503 on a connection that is one too many, before anything of the request is read.

    Inside the middleware of the record, so that the refusal is counted and logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope.get("state", {}).get(IS_SURPLUS):
            error = overloaded("The server has as many connections open as it may.")
            error.headers |= {"Connection": "close"}
            await error.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)
