"""Middleware that answers only requests to a known host name, against DNS rebinding.

A web page can point its own name at 127.0.0.1 and then read the answers of a server there, as if
they were its own. Its requests name the page's host, which is how they are recognised.
"""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qstar_server.http.errors import NO_RETRY, ApiError

_PORT = re.compile(r":[0-9]*\Z")
_MAX_SHOWN_CHARS = 100


class HostCheckMiddleware:
    """Answers 403 to a request whose Host header names another host; its port does not matter.

    A request without the header (HTTP/1.0) passes: no browser sends one.
    """

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str]) -> None:
        """
        Args:
            allowed: names and addresses as in URLs, so IPv6 addresses in brackets.
        """
        self._app = app
        self._allowed = {host.lower() for host in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        wrong = [host for host in headers.getlist("host") if not self._is_allowed(host)]
        if wrong:
            await _forbidden(wrong[0]).response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_allowed(self, host: str) -> bool:
        return _PORT.sub("", host.lower()) in self._allowed


def _forbidden(host: str) -> ApiError:
    return ApiError(
        403,
        f"The Host header names {host[:_MAX_SHOWN_CHARS]!r}, which this server does not serve. Use "
        "localhost, or start the server with --allowed-host and this name.",
        type="permission_error",
        code="host_not_allowed",
        headers=dict(NO_RETRY),
    )
