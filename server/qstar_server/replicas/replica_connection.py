"""An HTTP request from the front to a replica."""

import asyncio
import socket
from collections.abc import Sequence

import h11

from qstar_server.http.errors import ApiError
from qstar_server.replicas.replica_table import Replica

Headers = Sequence[tuple[bytes, bytes]]

_CONNECT_TIMEOUT_S = 5.0
_READ_BYTES = 65_536
# Finds a machine that has gone without a word, within half a minute. The last one is for bytes that
# it has not acknowledged: while there are any, the others do nothing.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000),
)


class ReplicaLostError(Exception):
    """The replica cannot be reached, or has gone before the end of its response.

    Attributes:
        had_request: whether the request may be why it has gone.
    """

    def __init__(self, message: str, *, had_request: bool = True) -> None:
        super().__init__(message)
        self.had_request = had_request


class ReplicaConnection:
    """A connection for one request. Closing it aborts the replica's work on the request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._is_complete = False

    @classmethod
    async def open(cls, replica: Replica) -> "ReplicaConnection":
        """Connect.

        Raises:
            ReplicaLostError: nobody answers within some seconds.
        """
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(replica.host, replica.port)
        except OSError as error:  # a TimeoutError is one
            raise ReplicaLostError(str(error), had_request=False) from None
        connection = writer.get_extra_info("socket")
        for level, option, value in _KEEP_ALIVE:
            connection.setsockopt(level, option, value)
        return cls(reader, writer)

    async def request(
        self, method: str, target: bytes, headers: Headers, body: bytes
    ) -> h11.Response:
        """Send a request and wait for the head of its response.

        Args:
            target: path and query.
            headers: without those that frame the body.

        Raises:
            ApiError: 400. Target or headers cannot be sent.
            ReplicaLostError: the connection ended before the head.
        """
        framed = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        if all(name != b"host" for name, _ in headers):  # of a client with HTTP/1.0
            framed.append((b"host", b"replica"))
        try:
            head = h11.Request(method=method, target=target, headers=framed)
            events = [head, h11.Data(data=body), h11.EndOfMessage()]
            encoded = b"".join(self._http.send(event) or b"" for event in events)
        except h11.LocalProtocolError as error:  # Ray's proxy lets more pass than h11
            raise ApiError(400, f"The request is no HTTP: {error}.", code="invalid_http") from None
        self._writer.write(encoded)
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event

    async def part(self) -> bytes:
        """The bytes of the body that have arrived, waiting for the first; empty at its end.

        Raises:
            ReplicaLostError: the connection ended before the body.
        """
        if self._is_complete:
            return b""
        event = await self._next_event()
        parts: list[bytes] = []
        while isinstance(event, h11.Data):
            parts.append(bytes(event.data))
            event = self._arrived_event()
        self._is_complete = isinstance(event, h11.EndOfMessage)
        return b"".join(parts)

    async def whole_body(self) -> bytes:
        """The body of the response.

        Raises:
            ReplicaLostError: the connection ended before the body.
        """
        parts: list[bytes] = []
        while part := await self.part():
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection at once; what is waiting for it gets a `ReplicaLostError`."""
        self._writer.transport.abort()

    async def _next_event(self) -> object:
        while (event := self._arrived_event()) is h11.NEED_DATA:
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError as error:
                raise ReplicaLostError(str(error)) from None
            self._http.receive_data(data)
        return event

    def _arrived_event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:  # it ended too early
            raise ReplicaLostError(str(error)) from None
