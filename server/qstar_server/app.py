"""Puts the application together. Nothing happens at import."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from qstar_infer.engine.protocol import Engine
from qstar_server.completions.router import router as completions_router
from qstar_server.engine_slot import EngineSlot
from qstar_server.errors import install_handlers
from qstar_server.extras import UnknownFields
from qstar_server.middleware import ErrorBoundaryMiddleware, RequestIdMiddleware
from qstar_server.routes import router as plain_router
from qstar_server.settings import Settings


def create_app(load_engine: Callable[[], Engine], settings: Settings) -> FastAPI:
    """The application. It loads the engine on a thread once it starts, and answers 503 until then.

    `app.state.engine_slot` is the `EngineSlot`, for whoever shuts the server down.
    """
    slot = EngineSlot(load_engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        slot.start_loading()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(slot.close)

    app = FastAPI(
        title="qstar",
        lifespan=lifespan,
        redirect_slashes=False,
        # The stock pages load their scripts from another host.
        docs_url=None,
        redoc_url=None,
    )
    app.state.engine_slot = slot
    app.state.settings = settings
    app.state.unknown_fields = UnknownFields()
    install_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(ErrorBoundaryMiddleware)
    app.add_middleware(RequestIdMiddleware)
    for router in (plain_router, completions_router):
        app.include_router(router)
    return app
