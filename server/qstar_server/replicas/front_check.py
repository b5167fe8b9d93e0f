"""Lets only the front use a replica's port, which other machines may be able to reach."""

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qstar_server.http.errors import ApiError

SECRET_HEADER = "x-qstar-front"


class FrontCheckMiddleware:
    """Answers 403 to whoever does not send the secret that the replicas share with the front.

    The API key alone is not enough: the front limits bodies, connections and times, which a client
    could get round on a replica's own port.
    """

    def __init__(self, app: ASGIApp, *, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            given = Headers(scope=scope).get(SECRET_HEADER, "").encode("latin-1")
            if not hmac.compare_digest(given, self._secret):
                error = ApiError(403, "Only the front of the replicas may use this port.")
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)
