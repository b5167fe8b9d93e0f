"""Listens on sockets and accepts connections, without ever running out of file descriptors."""

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Any

from qstar_infer.errors import ConfigError
from qstar_server.process.connection_table import ConnectionTable

logger = logging.getLogger("qstar_server.connections")

_BACKLOG = 1024
"""Connections that the system holds until they are accepted."""
_MAX_ACCEPTED = 32
"""Connections accepted at once; then the event loop does other work."""
_PAUSE_S = 0.1
_RESERVED_FILES = 96
"""File descriptors for everything else: the model's files, the log, the event loop, and connections
that are being refused."""


def bind_sockets(host: str, port: int) -> list[socket.socket]:
    """A bound socket for each address of the host. With port 0 all get the same free port.

    Args:
        host: an address or a name; "" is all addresses of this machine.

    Raises:
        ConfigError: the address does not exist or is in use.
    """
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in _addresses(host, port):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError as error:
        for each in sockets:
            each.close()
        raise ConfigError(
            f"the server cannot listen on {host or 'all addresses'}, port {port}: "
            f"{_reason(error)}. Choose another with --host or --port"
        ) from None
    return sockets


def room_for_connections(wanted: int) -> int:
    """How many connections this process can hold, at most `wanted`.

    Raises the soft limit of open files, where the hard limit allows it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _RESERVED_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - _RESERVED_FILES))


class Listener:
    """Accepts connections as long as there is room for them.

    The event loop's own server accepts all that wait at once. If that exhausts the file
    descriptors, it logs a traceback for each of them, as often as it tries.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        table: ConnectionTable,
        create_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        """
        Args:
            sockets: bound. They are closed by `close`.
        """
        self.sockets = sockets
        self._table = table
        self._create_protocol = create_protocol
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_closed = False

    def start(self) -> None:
        """Begin to accept."""
        for each in self.sockets:
            each.setblocking(False)
            each.listen(_BACKLOG)
            self._loop.add_reader(each, self._accept, each)

    def close(self) -> None:
        """Stop; connections that wait or come later are refused by the system."""
        self._is_closed = True
        for each in self.sockets:
            self._loop.remove_reader(each)
            each.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_MAX_ACCEPTED):
            if not self._table.has_room(num_arriving=len(self._tasks)):
                self._table.close_idle()
                self._pause(listening)
                return
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # most likely too many open files
                logger.warning("no connection can be accepted at the moment: %s", error.strerror)
                self._table.close_idle()
                self._pause(listening)
                return
            connection.setblocking(False)
            self._keep(self._loop.create_task(self._connect(connection)))

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, connection)
        except OSError:  # the client has gone already
            connection.close()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pause(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)
        self._loop.call_later(_PAUSE_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if not self._is_closed:
            self._loop.add_reader(listening, self._accept, listening)


def _reason(error: OSError) -> str:
    """Without the address, which Python adds to the system's words."""
    is_lookup = isinstance(error, socket.gaierror)
    return error.strerror if is_lookup and error.strerror else os.strerror(error.errno or 0)


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(found))
