"""Runs the web server from start to stop: signals, draining, and the end of the engine."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import ConfigError, EngineDeadError
from qstar_server.app import create_app
from qstar_server.http.hosts import url_host
from qstar_server.process.backend import Backend, DescribedModel
from qstar_server.process.connection_table import ConnectionTable, TimedConnection
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.process.http_connection import HttpConnection
from qstar_server.process.listener import Listener, bind_sockets, room_for_connections
from qstar_server.process.watchdog import Watchdog
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.sparse_log import SparseFilter

logger = logging.getLogger(__name__)

_POLL_S = 0.05
_LAST_WORDS_S = 1.0
"""For the handlers of dropped connections to end."""
_EXIT_GRACE_S = 5.0
"""For a server whose engine is dead to exit, after all that it waits for."""

Announce = Callable[[str], object]
"""Called once with the line that says that the server is ready."""


def run_server(
    load_engine: Callable[[], Engine], config: ServerConfig, *, announce: Announce
) -> Exception | None:
    """Serve until a signal arrives, or until the engine cannot be loaded or dies.

    Returns:
        None after a signal; otherwise the error that stopped the server.

    Raises:
        ConfigError: the address is not free, or other machines could use the server and the
            operator has not said that they may.
    """
    check_exposure(config)
    sockets = bind_sockets(config.host, config.port)
    logging.getLogger("qstar_server.connections").addFilter(SparseFilter())
    app = create_app(load_engine, config)
    slot: EngineSlot = app.state.engine_slot
    server = DrainingServer(app, slot, config, announce=announce)

    def stop(*_: object) -> None:
        server.should_exit = True

    # For a signal before uvicorn has its own handler. Afterwards uvicorn raises the signal that
    # stopped it again, with the handler that it found; a requested stop is a success.
    signal.signal(signal.SIGTERM, stop)
    with watchdog_of(slot, config), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=sockets)
    # The process is about to end; from here a second signal would only change its exit status.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if slot.computes_still:
        # A thread in C++ code would abort the process when the interpreter ends beside it.
        logging.shutdown()
        os._exit(0 if server.failure is None else 1)
    return server.failure


def watchdog_of(slot: EngineSlot, config: ServerConfig) -> Watchdog:
    """The watchdog of a server with these settings."""
    return Watchdog(
        slot,
        timeout_s=config.watchdog_timeout_s,
        exit_grace_s=config.drain_grace_s + config.shutdown_grace_s + _EXIT_GRACE_S,
    )


def check_exposure(config: ServerConfig) -> None:
    """
    Raises:
        ConfigError: other machines can reach the server, it has no API key, and it is not
            `insecure`.
    """
    if config.is_local or config.keys:
        return
    host = config.host if config.host else "all addresses"
    if not config.insecure:
        raise ConfigError(
            f"other machines can reach {host}, and there is no API key, so that anyone could use "
            "the model. Set a key (QSTAR_API_KEY, or --api-key-file), listen on 127.0.0.1, or give "
            "--insecure if that is meant"
        )
    logger.warning("everyone who can reach %s may use this server: it has no API key", host)


def ready_line(model: DescribedModel, *, url: str) -> str:
    """The line that says that the server is ready.

    Args:
        url: of the server, such that it can be opened.
    """
    return f"Serving {model.name} at {url}/v1 - {model.description}."


class DrainingServer(uvicorn.Server):
    """A web server that stops when its backend cannot be loaded or dies, and drains on shutdown.

    The backend is an engine, or replicas. Shutdown has three steps. New requests are answered with
    a 503. Open requests have `drain_grace_s` to finish; then the backend is closed, which ends them
    with an error. After another `shutdown_grace_s` the connections that are left are dropped. A
    second signal skips the waiting. An engine that hangs does not keep the process from ending.
    """

    def __init__(
        self, app: ASGIApp, backend: Backend, config: ServerConfig, *, announce: Announce
    ) -> None:
        """
        Args:
            backend: what computes the responses of the application.
        """
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                loop="asyncio",
                lifespan="on",
                server_header=False,
                log_config=None,  # its lines take the form of all others
                log_level="warning",
                access_log=False,
                timeout_keep_alive=config.keep_alive_timeout_s,  # type: ignore[arg-type]
            )
        )
        self._backend = backend
        self._limits = config
        self._announce = announce
        self._is_ready = False
        self._has_lost_engine = False

    @property
    def failure(self) -> Exception | None:
        """Why the server stopped by itself; None if it did not."""
        if self._has_lost_engine:
            return EngineDeadError("the engine crashed, so the server exited; see the log above")
        return self._backend.failure

    @property
    def _url(self) -> str:
        """Where the server listens, once it has started."""
        # The socket's own port: for port 0 the system has chosen one.
        address, port = self._listener.sockets[0].getsockname()[:2]
        # An empty host, and the short forms of addresses, are known to the socket only.
        is_name = self.config.host.strip("0123456789.") != ""
        return f"http://{url_host(self.config.host if is_name else address)}:{port}"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: the first begins the shutdown, the second ends it."""
        is_second = self.should_exit
        super().handle_exit(sig, frame)
        self.force_exit = self.force_exit or is_second

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to load the engine and to accept connections.

        Args:
            sockets: from `bind_sockets`.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        assert sockets, "sockets are bound before the server runs"
        room = room_for_connections(self._limits.max_connections)
        self._table = ConnectionTable(self._limits, max_connections=room)
        self._listener = Listener(sockets, self._table, self._new_connection)
        self._listener.start()
        self._watch = asyncio.create_task(self._table.watch())
        self.started = True
        logger.info("listening at %s; requests get a 503 until the model is loaded", self._url)

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second once the sockets are open; True stops it."""
        model = self._backend.model
        if model is not None and not self._is_ready:
            self._is_ready = True
            self._announce(ready_line(model, url=self._url))
        if await super().on_tick(counter):
            return True
        self._has_lost_engine = self._backend.has_died
        return self._has_lost_engine or self._backend.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, close the engine, stop."""
        del sockets  # closed by the listener
        self._backend.start_draining()
        busy = self._table.drain()
        await self._until_done(busy, self._limits.drain_grace_s)
        closing = asyncio.create_task(
            anyio.to_thread.run_sync(self._backend.close, abandon_on_cancel=True)
        )
        if self._table.num_busy(busy) and not self.force_exit:
            logger.warning("closing the engine: requests are still open after the drain time")
            await self._until_done(busy, self._limits.shutdown_grace_s)
        self._listener.close()
        self._table.abort_all()
        self._watch.cancel()
        await self._end(closing)
        await self.lifespan.shutdown()

    async def _end(self, closing: "asyncio.Task[None]") -> None:
        """Give the handlers of dropped connections, and the engine, a limited time to end."""
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_S)
        seconds = 0 if self.force_exit else self._limits.shutdown_grace_s
        await asyncio.wait({closing}, timeout=seconds)
        if not closing.done():
            logger.warning("the engine has not ended in time; the process ends without it")
            closing.cancel()
            self._backend.abandon()

    async def _until_done(self, connections: set[TimedConnection], seconds: float) -> None:
        """Wait until none of the connections is busy, at most for so long."""
        end = time.monotonic() + seconds
        while self._table.num_busy(connections) and time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(_POLL_S)

    def _new_connection(self) -> HttpConnection:
        return HttpConnection(
            self.config,
            self.server_state,
            self.lifespan.state,
            limits=self._limits,
            table=self._table,
        )
