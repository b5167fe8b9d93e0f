"""Creates the application. Nothing happens at import."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from qstar_infer.engine.protocol import Engine
from qstar_server.access_log import log_request
from qstar_server.body_budget import BodyBudgetMiddleware
from qstar_server.chat.router import router as chat_router
from qstar_server.completions.router import router as completions_router
from qstar_server.config import ServerConfig
from qstar_server.cors import AllowedPagesMiddleware
from qstar_server.engine_slot import EngineSlot
from qstar_server.errors import install_handlers
from qstar_server.framing import FramingMiddleware
from qstar_server.health.deep_check import DeepCheck
from qstar_server.health.router import router as health_router
from qstar_server.host_check import HostCheckMiddleware
from qstar_server.key_check import KeyCheckMiddleware
from qstar_server.messages.error_envelope import MessagesErrorMiddleware
from qstar_server.messages.router import router as messages_router
from qstar_server.metrics.registry import Metrics
from qstar_server.metrics.request_counts import RequestCounts
from qstar_server.metrics.router import router as metrics_router
from qstar_server.middleware import ErrorBoundaryMiddleware, HeadMiddleware, RequestIdMiddleware
from qstar_server.models.router import router as models_router
from qstar_server.openapi import describe_app
from qstar_server.request_watch import (
    RecordMiddleware,
    RecordObserver,
    RouteMiddleware,
    count_request,
)
from qstar_server.responses.router import router as responses_router
from qstar_server.tokenizer.router import router as tokenizer_router
from qstar_server.tracing import create_span_writer
from qstar_server.unsupported_fields import IgnoredFieldLog
from qstar_server.version.router import router as version_router

_ROUTERS = (
    health_router,
    metrics_router,
    version_router,
    models_router,
    tokenizer_router,
    completions_router,
    chat_router,
    responses_router,
    messages_router,
)


def create_app(load_engine: Callable[[], Engine], config: ServerConfig) -> FastAPI:
    """The application. When it starts it loads the engine on a thread, and responds 503 until then.

    `app.state.engine_slot` is the `EngineSlot`, which a server needs to shut down.

    Raises:
        ConfigError: traces are wanted, and OpenTelemetry is not installed.
    """
    slot = EngineSlot(load_engine)
    totals = RequestCounts()
    endpoint = config.otlp_traces_endpoint
    spans = None if endpoint is None else create_span_writer(endpoint)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        slot.start_loading()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(slot.close)
            if spans is not None:
                await anyio.to_thread.run_sync(spans.close)

    app = FastAPI(
        title="qstar",
        # FastAPI's own would send paths and the inputs of clients where the environment says.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        lifespan=lifespan,
        redirect_slashes=False,
        # The default pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
    )
    app.state.engine_slot = slot
    app.state.config = config
    app.state.metrics = Metrics(slot, totals)
    app.state.deep_check = DeepCheck()
    app.state.ignored_field_log = IgnoredFieldLog()
    install_handlers(app)
    describe_app(app, slot, allow_thoughts=config.allow_thoughts)
    observers: list[RecordObserver] = [count_request]
    if config.access_log:
        observers.append(log_request)
    if spans is not None:
        observers.append(spans.write)
    _add_middleware(app, config, totals=totals, observers=observers)
    for router in _ROUTERS:
        app.include_router(router)
    return app


def _add_middleware(
    app: FastAPI,
    config: ServerConfig,
    *,
    totals: RequestCounts,
    observers: Sequence[RecordObserver],
) -> None:
    """Add what lies around the routes. The last one added is the outermost."""
    app.add_middleware(RouteMiddleware)
    app.add_middleware(ErrorBoundaryMiddleware)
    app.add_middleware(
        BodyBudgetMiddleware,
        max_body_bytes=config.max_body_bytes,
        max_bodies_bytes=config.max_bodies_bytes,
    )
    app.add_middleware(FramingMiddleware)
    app.add_middleware(HeadMiddleware)
    if config.keys:
        app.add_middleware(
            KeyCheckMiddleware, keys=config.keys, max_requests_per_key=config.max_requests_per_key
        )
    if config.allow_origins:
        app.add_middleware(AllowedPagesMiddleware, allow_origins=config.allow_origins)
    if config.checked_hosts:
        app.add_middleware(HostCheckMiddleware, allowed=config.checked_hosts)
    app.add_middleware(MessagesErrorMiddleware)
    app.add_middleware(
        RecordMiddleware,
        totals=totals,
        observers=observers,
        logs_texts=config.log_requests,
    )
    app.add_middleware(RequestIdMiddleware)
