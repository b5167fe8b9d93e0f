"""Creates the application. Nothing happens at import."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware

from qstar_infer.engine.protocol import Engine
from qstar_server.endpoints.chat.router import router as chat_router
from qstar_server.endpoints.completions.router import router as completions_router
from qstar_server.endpoints.health.deep_check import DeepCheck
from qstar_server.endpoints.health.router import router as health_router
from qstar_server.endpoints.messages.error_envelope import MessagesErrorMiddleware
from qstar_server.endpoints.messages.router import router as messages_router
from qstar_server.endpoints.models.router import router as models_router
from qstar_server.endpoints.responses.router import router as responses_router
from qstar_server.endpoints.tokenizer.router import router as tokenizer_router
from qstar_server.endpoints.version.router import router as version_router
from qstar_server.generation.unsupported_fields import IgnoredFieldLog
from qstar_server.http.body_budget import BodyBudgetMiddleware
from qstar_server.http.cors import AllowedPagesMiddleware
from qstar_server.http.errors import install_handlers
from qstar_server.http.framing import FramingMiddleware
from qstar_server.http.host_check import HostCheckMiddleware
from qstar_server.http.key_check import KeyCheckMiddleware
from qstar_server.http.middleware import (
    ErrorBoundaryMiddleware,
    HeadMiddleware,
    RequestIdMiddleware,
)
from qstar_server.http.openapi import SWAGGER_UI, describe_app
from qstar_server.http.surplus import SurplusMiddleware
from qstar_server.playground.bundle import bundle
from qstar_server.playground.router import router as playground_router
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.access_log import AccessLog
from qstar_server.watching.metrics.registry import Metrics
from qstar_server.watching.metrics.request_counts import RequestCounts
from qstar_server.watching.metrics.router import router as metrics_router
from qstar_server.watching.request_watch import (
    RecordMiddleware,
    RecordObserver,
    RouteMiddleware,
    count_request,
)
from qstar_server.watching.tracing import create_span_writer

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
    playground_router,
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

    # FastAPI's own page of /docs loads its scripts from another host.
    app = FastAPIOffline(
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
        redoc_url=None,
        swagger_ui_parameters=SWAGGER_UI,
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
        observers.append(AccessLog().write)
    if spans is not None:
        observers.append(spans.write)
    for layer in reversed(layers(config, totals=totals, observers=observers)):
        app.add_middleware(layer.cls, *layer.args, **layer.kwargs)  # the last is the outermost
    for router in _ROUTERS:
        app.include_router(router)
    return app


def layers(
    config: ServerConfig, *, totals: RequestCounts, observers: Sequence[RecordObserver]
) -> list[Middleware]:
    """The middleware that lies around the routes, outermost first.

    Args:
        totals: where requests are counted.
        observers: called with the record of each request at its end.
    """
    found = [
        Middleware(RequestIdMiddleware),
        Middleware(
            RecordMiddleware, totals=totals, observers=observers, logs_texts=config.log_requests
        ),
        Middleware(MessagesErrorMiddleware),
        Middleware(SurplusMiddleware),
    ]
    if config.checked_hosts:
        found.append(Middleware(HostCheckMiddleware, allowed=config.checked_hosts))
    if config.allow_origins:
        found.append(Middleware(AllowedPagesMiddleware, allow_origins=config.allow_origins))
    if config.keys:
        found.append(
            Middleware(
                KeyCheckMiddleware,
                keys=config.keys,
                max_requests_per_key=config.max_requests_per_key,
                open_paths=(*config.open_paths, *bundle()),  # the page asks for a key itself
            )
        )
    return [
        *found,
        Middleware(HeadMiddleware),
        Middleware(FramingMiddleware),
        Middleware(
            BodyBudgetMiddleware,
            max_body_bytes=config.max_body_bytes,
            max_bodies_bytes=config.max_bodies_bytes,
        ),
        Middleware(ErrorBoundaryMiddleware),
        Middleware(RouteMiddleware),
    ]
