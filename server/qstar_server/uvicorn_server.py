"""A uvicorn server that lets open requests finish before it closes the engine."""

import asyncio
import logging
import math
import socket

import uvicorn
from starlette.types import ASGIApp

from qstar_server.engine_slot import EngineSlot
from qstar_server.settings import Settings

logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """Shuts down in three steps.

    New requests are refused at once. Open ones have `drain_grace_s` to finish; then the engine is
    closed, which ends them with an error. `shutdown_grace_s` later uvicorn drops what is left.
    """

    def __init__(self, app: ASGIApp, slot: EngineSlot, settings: Settings) -> None:
        grace_s = math.ceil(settings.drain_grace_s + settings.shutdown_grace_s)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=grace_s,
            )
        )
        self._slot = slot
        self._drain_grace_s = settings.drain_grace_s

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
