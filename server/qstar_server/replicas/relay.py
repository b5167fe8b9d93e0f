"""Passes each request to a replica, and its response back."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import h11
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from qstar_server.http.disconnect import until_disconnect
from qstar_server.http.errors import ApiError, shutting_down, unavailable
from qstar_server.http.intake import in_intake
from qstar_server.http.middleware import REQUEST_ID_HEADER
from qstar_server.http.request_body import read_body
from qstar_server.replicas.affinity import by_preference, conversation_key
from qstar_server.replicas.front_check import SECRET_HEADER
from qstar_server.replicas.replica_connection import (
    Headers,
    ReplicaConnection,
    ReplicaLostError,
)
from qstar_server.replicas.replica_table import Replica, ReplicaTable
from qstar_server.replicas.stream_failure import FrameSplitter, stream_failure
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.request_record import current_record

logger = logging.getLogger(__name__)

_OF_ONE_CONNECTION = {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te"),
    *(b"trailer", b"transfer-encoding", b"upgrade", b"expect"),
}
_NOT_SENT = {
    *_OF_ONE_CONNECTION,
    *(b"content-length", REQUEST_ID_HEADER.encode(), SECRET_HEADER.encode()),
}
_NOT_PASSED_BACK = {*_OF_ONE_CONNECTION, b"date"}
_REFUSALS = (429, 503)
_INLINE_BYTES = 32_768
"""Larger bodies are parsed outside of the event loop."""
_LOST_S = 10.0
"""For so long a replica that has not answered is tried after the others."""
_MAX_VICTIMS = 2
"""After so many replicas have died with a request it is not tried again: it may be the reason."""
_METRICS_TIMEOUT_S = 5.0
"""Less than Prometheus waits, so that a replica that hangs does not hide the others."""


@dataclass(frozen=True, slots=True)
class WholeResponse:
    """A response that has arrived to its end."""

    status: int
    headers: Headers
    body: bytes

    @property
    def tells_of_dead_engine(self) -> bool:
        """Whether its replica cannot recover; see `unavailable`."""
        return (b"x-should-retry", b"false") in self.headers

    @property
    def refusal_rank(self) -> int:
        """Of several refusals the client gets the highest: the one after which a retry helps most.

        A full replica has room again soon, one that shuts down does not.
        """
        if self.tells_of_dead_engine:
            return 0
        return 2 if self.status == 429 else 1

    async def send(self, send: Send) -> None:
        """Pass it on."""
        await _start(send, self.status, self.headers)
        await send(_body(self.body, more=False))


class Relay:
    """An ASGI application that has its answers from replicas.

    A request is tried on one replica after the other, until one does not refuse it, or two have
    died with it. That is safe, because a response has no effect but itself. After the first byte is
    passed on, a replica that goes ends the response with an error, as an engine that dies does.
    """

    def __init__(self, table: ReplicaTable, config: ServerConfig, *, secret: str) -> None:
        """
        Args:
            secret: that the replicas expect; see `FrontCheckMiddleware`.
        """
        self._table = table
        self._config = config
        self._secret = secret.encode()
        self._num_open: Counter[str] = Counter()
        self._lost: dict[str, float] = {}
        """Until when replicas that did not answer come last, by their ids."""
        self._connections: set[ReplicaConnection] = set()
        self._is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        body = await read_body(
            request, max_bytes=self._config.max_body_bytes, timeout_s=self._config.body_timeout_s
        )
        await until_disconnect(request, self._serve(request, body, send))

    def close(self) -> None:
        """End all requests with an error. Called on the event loop."""
        self._is_closed = True
        for connection in list(self._connections):
            connection.close()

    async def metrics(self, replica: Replica, request: Request) -> str | None:
        """The metrics of a replica, in the text format of Prometheus; None if it has none to give.

        Args:
            request: on whose behalf they are read. Its key must be valid.
        """
        headers = [pair for pair in self._headers(request) if pair[0] != b"accept"]
        try:
            async with asyncio.timeout(_METRICS_TIMEOUT_S):
                connection = await ReplicaConnection.open(replica)
                with self._open(connection):
                    head = await connection.request("GET", b"/metrics", headers, b"")
                    body = await connection.whole_body()
        except (ReplicaLostError, TimeoutError):
            return None
        return body.decode(errors="replace") if head.status_code == 200 else None

    async def _serve(self, request: Request, body: bytes, send: Send) -> None:
        key = await self._key(request, body)
        refusal: WholeResponse | None = None
        num_victims = 0
        for replica in self._candidates(key):
            if self._is_closed:
                raise shutting_down()
            try:
                answer = await self._try(replica, request, body, send)
            except ReplicaLostError as error:
                self._put_last(replica, str(error))
                num_victims += error.had_request
            else:
                if answer is None:
                    return
                if answer.tells_of_dead_engine:
                    self._put_last(replica, "its engine is dead")
                    num_victims += 1
                if refusal is None or answer.refusal_rank > refusal.refusal_rank:
                    refusal = answer
            if num_victims == _MAX_VICTIMS:
                break
        await self._refuse(refusal, num_victims, send)

    async def _refuse(self, refusal: WholeResponse | None, num_victims: int, send: Send) -> None:
        """Answer a request that no replica has taken."""
        if self._is_closed:
            raise shutting_down()
        if num_victims == _MAX_VICTIMS:
            raise unavailable(
                f"{num_victims} replicas ended with this request, which may be the reason.",
                code="engine_dead",
                retry=False,
            )
        if refusal is None:
            raise unavailable("No replica can be reached at the moment.", code="model_loading")
        await refusal.send(send)

    def _put_last(self, replica: Replica, reason: str) -> None:
        self._lost[replica.replica_id] = monotonic() + _LOST_S
        logger.warning("replica %s did not answer: %s", replica.replica_id, reason)

    async def _key(self, request: Request, body: bytes) -> bytes | None:
        if request.method != "POST":
            return None
        caller = request.scope.get("state", {}).get("key_name", "")
        if len(body) <= _INLINE_BYTES:
            return conversation_key(body, caller)
        return await in_intake(conversation_key, body, caller)

    def _candidates(self, key: bytes | None) -> list[Replica]:
        """The replicas to try, those that did not answer a moment ago after the others."""
        replicas = self._table.replicas
        now = monotonic()
        self._lost = {each: until for each, until in self._lost.items() if until > now}
        ordered = by_preference(key, replicas, self._num_open)
        return sorted(ordered, key=lambda each: each.replica_id in self._lost)

    async def _try(
        self, replica: Replica, request: Request, body: bytes, send: Send
    ) -> WholeResponse | None:
        """Pass on a replica's response. If it refuses the request, its refusal is returned instead.

        Raises:
            ReplicaLostError: nothing has been passed on.
        """
        with self._at_work(replica):
            connection = await ReplicaConnection.open(replica)
            with self._open(connection):
                target = request.scope["raw_path"] + _query(request.scope["query_string"])
                head = await connection.request(
                    request.method, target, self._headers(request), body
                )
                if _is_event_stream(head):
                    await self._stream(connection, head, request.url.path, send)
                    return None
                headers = _passed_back(head)
                whole = WholeResponse(head.status_code, headers, await connection.whole_body())
        if whole.status in _REFUSALS:
            return whole
        await whole.send(send)
        return None

    async def _stream(
        self, connection: ReplicaConnection, head: h11.Response, path: str, send: Send
    ) -> None:
        splitter, failure, has_begun = FrameSplitter(), stream_failure(path), False
        try:
            while part := await connection.part():
                frames = splitter.push(part)
                if frames:
                    if not has_begun:
                        has_begun = True
                        await _start(send, head.status_code, _passed_back(head))
                    failure.observe(frames)
                    await send(_body(frames, more=True))
        except ReplicaLostError:
            if not has_begun:
                raise
            await send(_body(failure.frames(self._failed()), more=True))
        if not has_begun:
            await _start(send, head.status_code, _passed_back(head))
        await send(_body(b"", more=False))

    def _failed(self) -> ApiError:
        """Why a response ends early; noted in the record of the request."""
        if self._is_closed:
            error = shutting_down()
        else:
            error = unavailable(
                "The replica that computed this response has ended. Send the request again.",
                code="engine_dead",
            )
        record = current_record()
        if record is not None:
            record.error = error.code
        return error

    def _headers(self, request: Request) -> Headers:
        passed = [pair for pair in request.scope["headers"] if pair[0] not in _NOT_SENT]
        request_id = request.scope["state"]["request_id"].encode()
        own = [(REQUEST_ID_HEADER.encode(), request_id), (SECRET_HEADER.encode(), self._secret)]
        return [*passed, *own]

    @contextmanager
    def _at_work(self, replica: Replica) -> Iterator[None]:
        self._num_open[replica.replica_id] += 1
        try:
            yield
        finally:
            self._num_open[replica.replica_id] -= 1
            if not self._num_open[replica.replica_id]:
                del self._num_open[replica.replica_id]

    @contextmanager
    def _open(self, connection: ReplicaConnection) -> Iterator[None]:
        self._connections.add(connection)
        try:
            yield
        finally:
            self._connections.discard(connection)
            connection.close()


async def _start(send: Send, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


def _body(data: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _query(query: bytes) -> bytes:
    return b"?" + query if query else b""


def _is_event_stream(head: h11.Response) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in head.headers
    )


def _passed_back(head: h11.Response) -> Headers:
    return [pair for pair in head.headers if pair[0] not in _NOT_PASSED_BACK]
