"""All open connections: at most so many, and none that waits for ever."""

import asyncio
import logging
from typing import Protocol

from qstar_server.settings.config import ServerConfig

logger = logging.getLogger("qstar_server.connections")

_SPARE = 32
"""Connections above the limit that are accepted only to be told so."""
_MAX_PERIOD_S = 1.0


class TimedConnection(Protocol):
    """What the table needs of a connection."""

    idle_since: float | None
    """When its last response ended, or it was opened; None while a request is at work."""

    @property
    def is_busy(self) -> bool:
        """Whether a request is at work, or bytes wait for the client."""
        ...

    def close_if_stuck(self, now: float) -> None:
        """Close it if its client has used up its time to send or to read."""
        ...

    def close_if_idle(self) -> None:
        """Close it after the request at work, or now if there is none."""
        ...

    def abort(self) -> None:
        """Close it at once; bytes that wait for the client are dropped."""
        ...


class ConnectionTable:
    """Counts connections and closes those that are stuck.

    Above the limit, idle connections give way to new ones, so that a client that opens many and
    sends nothing shuts out nobody. If none is idle, a new one is refused with a 503.
    """

    def __init__(self, config: ServerConfig, *, max_connections: int) -> None:
        """
        Args:
            max_connections: how many this process has room for.
        """
        self.is_draining = False
        self._max = max_connections
        self._period_s = min(_MAX_PERIOD_S, config.header_timeout_s / 4, config.send_timeout_s / 4)
        self._connections: set[TimedConnection] = set()
        self._refused: set[TimedConnection] = set()

    def add(self, connection: TimedConnection) -> bool:
        """Count a new connection; False if it must be refused, because all others are busy."""
        is_full = len(self._connections - self._refused) >= self._max
        if is_full:
            logger.warning("all %d connections are in use; idle ones are closed", self._max)
        is_accepted = not is_full or self.close_idle(self._connections - self._refused)
        self._connections.add(connection)
        if not is_accepted:
            self._refused.add(connection)
        return is_accepted

    def discard(self, connection: TimedConnection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)
        self._refused.discard(connection)

    def has_room(self, *, num_arriving: int) -> bool:
        """Whether one more connection can be accepted, if only to be refused.

        Args:
            num_arriving: connections that are accepted and not yet added.
        """
        return len(self._connections) + num_arriving < self._max + _SPARE

    def close_idle(self, candidates: set[TimedConnection] | None = None) -> bool:
        """Close the connection that has been idle for the longest time; False if none is idle."""
        among = self._connections if candidates is None else candidates
        idle = [each for each in among if each.idle_since is not None]
        if idle:
            oldest = min(idle, key=lambda each: each.idle_since or 0.0)
            self.discard(oldest)
            oldest.abort()
        return bool(idle)

    def drain(self) -> set[TimedConnection]:
        """Close connections as their requests end; the busy ones are returned."""
        self.is_draining = True
        for connection in list(self._connections):
            connection.close_if_idle()
        return {each for each in self._connections if each.is_busy}

    def num_busy(self, connections: set[TimedConnection]) -> int:
        """How many of these are open and busy."""
        return sum(each.is_busy for each in connections & self._connections)

    def abort_all(self) -> None:
        """Close every connection at once."""
        for connection in list(self._connections):
            connection.abort()

    async def watch(self) -> None:
        """Close stuck connections, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._period_s)
            for connection in list(self._connections):
                connection.close_if_stuck(loop.time())
