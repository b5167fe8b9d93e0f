"""One HTTP connection: uvicorn's, with time limits and with this API's error envelope."""

import asyncio
import contextlib
import logging
import socket
from http import HTTPStatus
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from qstar_server.http.errors import ApiError
from qstar_server.http.surplus import IS_SURPLUS
from qstar_server.process.connection_table import ConnectionTable
from qstar_server.settings.config import ServerConfig

logger = logging.getLogger("qstar_server.connections")

# What the system holds for a client that does not read stays small, so that what this process holds
# shows whether the client reads.
_UNSENT_BYTES = 65_536
_CLOSE = {"Connection": "close"}


class HttpConnection(H11Protocol):
    """Closes itself if its client sends no request, or stops reading the response.

    uvicorn limits neither: it waits for the head of a request for ever, and for a client to read.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: ServerConfig,
        table: ConnectionTable,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = logger
        self.idle_since: float | None = None
        self._limits = limits
        self._table = table
        self._head_since: float | None = None
        """Since when the head of a request is awaited; None between requests and while one is at
        work."""
        self._num_unread = 0
        """Bytes that waited for the client when last seen."""
        self._read_at = 0.0
        """When the client was last seen to read, or had nothing to read."""

    @property
    def is_busy(self) -> bool:
        """Whether a request is at work, or bytes wait for the client."""
        return self.idle_since is None or self.transport.get_write_buffer_size() > 0

    # --- called by the event loop -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for a request."""
        super().connection_made(transport)
        with contextlib.suppress(OSError, AttributeError):  # not on every system
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self.idle_since = self._head_since = self._read_at = self.loop.time()
        if not self._table.add(self):
            self.app_state = {**self.app_state, IS_SURPLUS: True}

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._table.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle_since = self._head_since = None
            if self._table.is_draining:
                self.cycle.keep_alive = False
        elif self._head_since is None:
            self._head_since = self.loop.time()

    def resume_writing(self) -> None:
        """Send on: the client has read most of what waited."""
        self._read_at = self.loop.time()
        super().resume_writing()

    # --- called by uvicorn ------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Wait for the next request, or take the one that has arrived meanwhile."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle_since = None

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        self._refuse(ApiError(400, msg, code="invalid_http", headers=_CLOSE))

    def _should_upgrade(self) -> bool:
        return False  # a request for another protocol is answered as HTTP, without a warning

    # --- called by the table ----------------------------------------------------------------------

    def close_if_stuck(self, now: float) -> None:
        """Close it if its client has used up its time to send or to read."""
        num_unread = self.transport.get_write_buffer_size()
        if num_unread == 0 or num_unread < self._num_unread:
            self._read_at = now
        self._num_unread = num_unread
        if now - self._read_at >= self._limits.send_timeout_s:
            logger.warning("a client stopped reading its response; its connection was closed")
            self.abort()
        elif self._head_since is not None and now - self._head_since >= (
            self._limits.header_timeout_s
        ):
            self._give_up_waiting()

    def close_if_idle(self) -> None:
        """Close it after the request at work, or now if there is none."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def abort(self) -> None:
        """Close it at once; bytes that wait for the client are dropped."""
        self.transport.abort()

    def _give_up_waiting(self) -> None:
        self._head_since = None
        if self.conn.trailing_data[0]:
            logger.warning("the head of a request did not arrive in time; it got a 408")
            seconds = self._limits.header_timeout_s
            message = f"The head of the request did not arrive within {seconds:g} seconds."
            self._refuse(ApiError(408, message, code="request_timeout", headers=_CLOSE))
        else:
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = error.json().encode()
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            events = [
                h11.Response(
                    status_code=error.status,
                    headers=list((headers | error.headers).items()),
                    reason=HTTPStatus(error.status).phrase,
                ),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
