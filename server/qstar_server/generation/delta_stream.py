"""Brings engine outputs from the engine's thread to the event loop, as an async iterator."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from types import TracebackType

import anyio.to_thread

from qstar_infer.engine.protocol import AdmittedRequest, Engine
from qstar_infer.outputs import RequestOutput
from qstar_server.http.errors import NO_RETRY, ApiError

logger = logging.getLogger(__name__)


class DeltaStream:
    """The deltas of all engine requests of one HTTP request, in order of arrival.

    Iterate it once. Leaving the `async with` block, or calling `close`, aborts every engine request
    that has not finished. An error of one engine request ends them all.

    Memory and time are bounded: when more than `max_pending` deltas wait for the consumer, or after
    `timeout_s` seconds, the requests are aborted and the consumer gets an error.
    """

    def __init__(
        self,
        engine: Engine,
        requests: Sequence[AdmittedRequest],
        *,
        max_pending: int,
        timeout_s: float,
    ) -> None:
        self._engine = engine
        self._requests = requests
        self._open_ids = {admitted.request.request_id for admitted in requests}
        self._max_pending = max_pending
        self._loop = asyncio.get_running_loop()
        self._items: deque[RequestOutput | Exception] = deque()
        self._has_items = asyncio.Event()
        self._is_closed = False
        self._timer = self._loop.call_later(timeout_s, self._expire, timeout_s)

    @classmethod
    async def open(
        cls,
        engine: Engine,
        requests: Sequence[AdmittedRequest],
        *,
        max_pending: int,
        timeout_s: float,
    ) -> "DeltaStream":
        """Submit the requests, all or none.

        Raises:
            RequestError, QueueFullError, EngineDeadError: see `Engine.submit`.
        """
        stream = cls(engine, requests, max_pending=max_pending, timeout_s=timeout_s)
        try:
            await anyio.to_thread.run_sync(stream._submit)
        except BaseException:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        """Abort the requests that have not finished. Does not wait; may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.cancel()
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
            self._give_up(ApiError(503, message, type="server_error", code="slow_reader"))
        self._has_items.set()

    def _expire(self, timeout_s: float) -> None:
        message = f"The response was not finished within {timeout_s:g} seconds."
        # The same request would take as long again.
        self._give_up(
            ApiError(
                504, message, type="server_error", code="generation_timeout", headers=dict(NO_RETRY)
            )
        )

    def _give_up(self, error: ApiError) -> None:
        """Abort the requests; the consumer gets the error and nothing else."""
        if not self._is_closed:
            self.close()
            self._items.append(error)

    def _abort(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            try:
                self._engine.abort(request_id)
            except Exception:
                logger.exception("request %s could not be aborted", request_id)
