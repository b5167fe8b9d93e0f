"""Middleware that keeps the record of each request and hands it on at its end."""

import logging
import time
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qstar_server.watching.metrics.request_counts import OTHER, RequestCounts
from qstar_server.watching.request_record import RequestRecord, current_record, set_current_record

logger = logging.getLogger(__name__)

RecordObserver = Callable[[RequestRecord], None]
"""Called with each record when its response has ended. Must not block."""

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
_CLIENT_CLOSED_REQUEST = 499
"""What proxies log for a client that left before its response."""


class RecordMiddleware:
    """Keeps the record of each HTTP request. Comes right after the middleware of request ids."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        totals: RequestCounts,
        observers: Sequence[RecordObserver],
        logs_texts: bool = False,
    ) -> None:
        """
        Args:
            logs_texts: whether prompts and outputs are logged.
        """
        self._app = app
        self._logs_texts = logs_texts
        self._totals = totals
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        record = RequestRecord(
            request_id=scope["state"]["request_id"],
            method=method if method in _METHODS else OTHER,
            traceparent=Headers(scope=scope).get("traceparent"),
            totals=self._totals,
            logs_texts=self._logs_texts,
        )
        set_current_record(record)

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            self._end(record)

    def _end(self, record: RequestRecord) -> None:
        record.duration_s = time.monotonic() - record.started_s
        if record.status is None:
            record.status = _CLIENT_CLOSED_REQUEST
        for observe in self._observers:
            try:
                observe(record)
            except Exception:
                logger.exception("a record could not be observed")


class RouteMiddleware:
    """Notes the route of a request in its record. The innermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        record = current_record()
        if scope["type"] != "http" or record is None:
            await self._app(scope, receive, send)
            return

        async def watched_send(message: Message) -> None:
            # Before the first byte: what watches the response may need the route.
            record.route = _route_of(scope)
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            record.route = _route_of(scope)


def count_request(record: RequestRecord) -> None:
    """Add a request that has ended to the server's totals."""
    totals, status = record.totals, record.status
    totals.http_requests[record.route, record.method, str(status)] += 1
    if record.method == "POST" and status in (429, 503):
        is_known = record.error in totals.rejections
        totals.rejections[record.error if is_known and record.error else OTHER] += 1


def _route_of(scope: Scope) -> str:
    path = getattr(scope.get("route"), "path_format", None)
    return path if isinstance(path, str) and path else OTHER
