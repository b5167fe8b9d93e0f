"""Brings engine outputs from the engine's thread to the event loop, as an async iterator."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from types import TracebackType

import anyio.to_thread

from qstar_infer.engine.protocol import AdmittedRequest, Engine
from qstar_infer.outputs import RequestOutput
from qstar_server.errors import ApiError

logger = logging.getLogger(__name__)


class DeltaStream:
    """The deltas of all engine requests of one HTTP request, in order of arrival.

    Iterate it once. Leaving the `async with` block, or calling `close`, aborts every engine request
    that has not finished. An error of one engine request ends them all.

    Memory is bounded: when more than `max_pending` deltas wait for the consumer, the requests are
    aborted and the consumer gets an error.
    """

    def __init__(
        self, engine: Engine, requests: Sequence[AdmittedRequest], *, max_pending: int
    ) -> None:
        self._engine = engine
        self._requests = requests
        self._open_ids = {admitted.request.request_id for admitted in requests}
        self._max_pending = max_pending
        self._loop = asyncio.get_running_loop()
        self._items: deque[RequestOutput | Exception] = deque()
        self._has_items = asyncio.Event()
        self._is_closed = False

    @classmethod
    async def open(
        cls, engine: Engine, requests: Sequence[AdmittedRequest], *, max_pending: int
    ) -> "DeltaStream":
        """Submit the requests, all or none.

        Raises:
            RequestError, QueueFullError, EngineDeadError: see `Engine.submit`.
        """
        stream = cls(engine, requests, max_pending=max_pending)
        try:
            await anyio.to_thread.run_sync(stream._submit)
        except asyncio.CancelledError:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        """Abort the requests that have not finished. Does not wait; may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._items.clear()
        self._has_items.set()
        if self._open_ids:
            # Not on the event loop: an engine may hold its lock for the length of a step.
            self._loop.run_in_executor(None, self._abort, list(self._open_ids))

    async def __aenter__(self) -> "DeltaStream":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> "DeltaStream":
        return self

    async def __anext__(self) -> RequestOutput:
        """The next delta of any request; stops when all requests have finished."""
        # Other tasks have their turn between two deltas, however many wait here.
        await asyncio.sleep(0)
        while not self._items:
            if self._is_closed or not self._open_ids:
                raise StopAsyncIteration
            self._has_items.clear()
            await self._has_items.wait()
        item = self._items.popleft()
        if isinstance(item, Exception):
            self.close()
            raise item
        if item.finished:
            self._open_ids.discard(item.request_id)
        return item

    def _submit(self) -> None:
        """Runs on a worker thread, which continues if its caller is cancelled."""
        self._engine.submit(self._requests, self._listen)
        if self._is_closed:
            # `close` ran before the engine knew these requests, so its abort had no effect.
            self._abort([admitted.request.request_id for admitted in self._requests])

    def _listen(self, item: RequestOutput | Exception) -> None:
        """Called on the engine's thread."""
        try:
            self._loop.call_soon_threadsafe(self._push, item)
        except RuntimeError:
            # The event loop has ended: the process is exiting.
            logger.debug("delta dropped: the event loop is closed")

    def _push(self, item: RequestOutput | Exception) -> None:
        if self._is_closed:
            return
        self._items.append(item)
        if len(self._items) > self._max_pending:
            message = "The client reads too slowly; its request was dropped."
            self.close()
            self._items.append(ApiError(503, message, type="server_error", code="slow_reader"))
        self._has_items.set()

    def _abort(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            try:
                self._engine.abort(request_id)
            except Exception:
                logger.exception("request %s could not be aborted", request_id)
