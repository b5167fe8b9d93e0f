"""Middleware that limits the memory that the bodies of all requests take together."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qstar_server.http.errors import overloaded


class BodyBudgetMiddleware:
    """Refuses a body with a 503 while those of open requests fill the budget.

    A body counts from its arrival to the end of its request, since what it holds is in memory for
    as long.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_bodies_bytes: int) -> None:
        """
        Args:
            max_body_bytes: of one request. What exceeds it is read, but not kept.
            max_bodies_bytes: of all open requests together.
        """
        self._app = app
        self._max_one = max_body_bytes
        self._max_all = max_bodies_bytes
        self._num_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        num_own = 0

        async def counted_receive() -> Message:
            nonlocal num_own
            message = await receive()
            if message["type"] == "http.request":
                num_new = min(len(message.get("body", b"")), self._max_one - num_own)
                if self._num_bytes + num_new > self._max_all:
                    raise overloaded(
                        "The bodies of open requests fill the server's memory for them."
                    )
                num_own += num_new
                self._num_bytes += num_new
            return message

        try:
            await self._app(scope, counted_receive, send)
        finally:
            self._num_bytes -= num_own
