"""Runs the web server from start to stop: signals, draining, and the end of the engine."""

import asyncio
import contextlib
import ipaddress
import logging
import math
import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from qstar_infer.engine.protocol import Engine, ModelInfo
from qstar_infer.errors import EngineDeadError
from qstar_server.app import create_app
from qstar_server.config import ServerConfig
from qstar_server.engine_slot import EngineSlot

logger = logging.getLogger(__name__)

Announce = Callable[[str], object]
"""Called once with the line that says that the server is ready."""


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether uvicorn does not advise to install WebSockets, which this server has no use for."""
    return not record.getMessage().startswith(("Unsupported upgrade", "No supported WebSocket"))


def run_server(
    load_engine: Callable[[], Engine], config: ServerConfig, *, announce: Announce
) -> Exception | None:
    """Serve until a signal arrives, or until the engine cannot be loaded or dies.

    Returns:
        None after a signal; otherwise the error that stopped the server.
    """
    server = DrainingServer(create_app(load_engine, config), config, announce=announce)
    # uvicorn raises the signal that stopped it again, with the handler that it found. A requested
    # stop is a success.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return server.failure


def ready_line(model: ModelInfo, *, url: str) -> str:
    """The line that says that the server is ready.

    Args:
        url: of the server, such that it can be opened.
    """
    return f"Serving {model.name} at {url}/v1 - {model.description}."


def url_host(host: str) -> str:
    """How a URL names the address that a server listens on.

    IPv6 addresses have brackets. A server that listens on all addresses of this machine is reached
    at the loopback address.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    if address.version == 4:
        return str(address)
    return f"[{str(address).replace('%', '%25')}]"  # RFC 6874: the zone's percent sign


class DrainingServer(uvicorn.Server):
    """A web server that stops when its engine cannot be loaded or dies, and drains on shutdown.

    Shutdown has three steps. New requests are refused at once. Open requests have `drain_grace_s`
    to finish; then the engine is closed, which ends them with an error. After another
    `shutdown_grace_s` uvicorn drops the connections that are left.
    """

    def __init__(self, app: FastAPI, config: ServerConfig, *, announce: Announce) -> None:
        """
        Args:
            app: from `create_app`.
        """
        grace_s = math.ceil(config.drain_grace_s + config.shutdown_grace_s)
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                lifespan="on",
                server_header=False,
                log_config=None,  # its lines take the form of all others
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=grace_s,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_advice)
        self._slot: EngineSlot = app.state.engine_slot
        self._drain_grace_s = config.drain_grace_s
        self._announce = announce
        self._is_ready = False
        self._has_lost_engine = False

    @property
    def failure(self) -> Exception | None:
        """Why the server stopped by itself; None if it did not."""
        if self._has_lost_engine:
            return EngineDeadError("the engine crashed, so the server exited; see the log above")
        return self._slot.failure

    @property
    def _url(self) -> str:
        """Where the server listens, once the sockets are open."""
        # The socket's own port: for port 0 the system has chosen one.
        address, port = self.servers[0].sockets[0].getsockname()[:2]
        # An empty host, and the short forms of addresses, are known to the socket only.
        is_name = self.config.host.strip("0123456789.") != ""
        return f"http://{url_host(self.config.host if is_name else address)}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the sockets."""
        await super().startup(sockets)
        if self.started:
            logger.info("listening at %s; requests get a 503 until the model is loaded", self._url)

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second once the sockets are open; True stops it."""
        engine = self._slot.engine
        if engine is not None and not self._is_ready:
            self._is_ready = True
            self._announce(ready_line(engine.model, url=self._url))
        if await super().on_tick(counter):
            return True
        self._has_lost_engine = self._slot.has_died
        return self._has_lost_engine or self._slot.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, close the engine, stop."""
        self._slot.start_draining()
        closing = asyncio.create_task(self._close_engine_later())
        await super().shutdown(sockets)
        closing.cancel()

    async def _close_engine_later(self) -> None:
        await asyncio.sleep(self._drain_grace_s)
        logger.warning("closing the engine: requests are still open after the drain time")
        await asyncio.to_thread(self._slot.close)
