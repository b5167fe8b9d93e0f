"""The application in front of the replicas: what one server does before it asks its engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from qstar_infer.engine.protocol import Engine
from qstar_server.app import layers
from qstar_server.http.errors import ApiError, ClientDisconnectedError, shutting_down, unavailable
from qstar_server.playground.page import page_response
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.replicas.metrics import merged_exposition
from qstar_server.replicas.relay import Relay
from qstar_server.replicas.replica_table import Replica, ReplicaTable
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.access_log import AccessLog
from qstar_server.watching.metrics.registry import Metrics
from qstar_server.watching.metrics.request_counts import RequestCounts
from qstar_server.watching.request_record import RequestRecord
from qstar_server.watching.request_watch import count_request

_FRONT = "front"
"""Its name among the replicas, in metrics."""


class Front:
    """Checks requests and passes them to replicas; implements `Backend`.

    Attributes:
        app: the ASGI application.
    """

    def __init__(self, table: ReplicaTable, config: ServerConfig, *, secret: str) -> None:
        """
        Args:
            table: the replicas that are ready.
            secret: that they expect of the front.
        """
        self._table = table
        self._config = config
        self._relay = Relay(table, config, secret=secret)
        self._totals = RequestCounts()
        self._access_log = AccessLog()
        self._metrics = Metrics(EngineSlot(_no_engine), self._totals)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._has_died = False
        self._is_draining = False
        self.app = self._create_app()

    # --- for the web server -----------------------------------------------------------------------

    @property
    def model(self) -> Replica | None:
        """The model's name and description, once a replica is ready."""
        return next(iter(self._table.replicas), None)

    @property
    def failure(self) -> Exception | None:
        """Why no replica could be started."""
        return self._failure

    @property
    def has_died(self) -> bool:
        """Whether what starts replicas has gone."""
        return self._has_died

    def start_draining(self) -> None:
        """Refuse new requests; open requests continue."""
        self._is_draining = True

    def close(self) -> None:
        """End open requests with an error. Any thread may call it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._relay.close)

    def abandon(self) -> None:
        """Nothing: closing takes no time."""

    # --- for what starts the replicas -------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """No replica can be started: the server ends with this error. Any thread may call it."""
        self._failure = error

    def give_up(self) -> None:
        """What starts replicas has gone: the server ends. Any thread may call it."""
        self._has_died = True

    # --- requests ---------------------------------------------------------------------------------

    def _create_app(self) -> Starlette:
        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            yield

        app = Starlette(
            middleware=layers(self._config, totals=self._totals, observers=[self._observe]),
            exception_handlers={ApiError: _respond, ClientDisconnectedError: _client_has_left},
            lifespan=lifespan,
        )
        app.router.redirect_slashes = False
        app.router.default = self._serve  # there are no routes: replicas have them
        return app

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # Ray's proxy passes them on
            await WebSocketClose()(scope, receive, send)
            return
        response = await self._own_response(scope, receive) if scope["method"] == "GET" else None
        if response is not None:
            await response(scope, receive, send)
        else:
            self._check()
            await self._relay(scope, receive, send)

    async def _own_response(self, scope: Scope, receive: Receive) -> Response | None:
        """What needs no replica: health, metrics, and the page; None for all else."""
        own = {"/health": self._health, "/metrics": self._all_metrics}.get(scope["path"])
        if own is not None:
            return await own(Request(scope, receive))
        return page_response(scope["path"], Headers(scope=scope))

    async def _health(self, _: Request) -> Response:
        """200 while a replica is ready."""
        self._check()
        return JSONResponse({"status": "ready"})

    async def _all_metrics(self, request: Request) -> Response:
        """The metrics of the front and of all replicas that answer."""
        replicas = self._table.replicas
        texts = await asyncio.gather(*(self._relay.metrics(each, request) for each in replicas))
        own, content_type = self._metrics.exposition()
        by_replica = {_FRONT: own.decode()}
        for replica, text in zip(replicas, texts, strict=True):
            if text is not None:
                by_replica[replica.replica_id] = text
        return Response(merged_exposition(by_replica), headers={"Content-Type": content_type})

    def _check(self) -> None:
        """
        Raises:
            ApiError: 503. No request can be served now; the message says why.
        """
        if self._is_draining:
            raise shutting_down()
        if not self._table.replicas:
            raise unavailable("No replica is ready yet.", code="model_loading")

    def _observe(self, record: RequestRecord) -> None:
        """Log and count what the front has answered itself; replicas do so for the rest."""
        if record.error is None:
            return
        count_request(record)
        if self._config.access_log:
            self._access_log.write(record)


async def _respond(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _client_has_left(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


def _no_engine() -> Engine:
    raise AssertionError("the front has no engine")
