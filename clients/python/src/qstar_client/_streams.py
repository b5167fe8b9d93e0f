"""Completion streams: iterators of chunks that own a connection."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

import httpx

from qstar_client._answers import connection_errors
from qstar_client._chunks import ChunkReader, CompletionBuilder
from qstar_client._errors import StreamError
from qstar_client._types import Completion, CompletionChunk


class _Reading:
    """State of both kinds of stream: the reader, the chunks so far, and whether it is closed."""

    def __init__(self) -> None:
        self._reader = ChunkReader()
        self._builder = CompletionBuilder()
        self._is_closed = False

    def _pop(self) -> CompletionChunk | None:
        chunk = self._reader.pop()
        if chunk is not None:
            self._builder.add(chunk)
        return chunk

    def _take(self, piece: bytes | None) -> None:
        if piece is None:
            self._reader.end()
        else:
            self._reader.feed(piece)

    def _build(self) -> Completion:
        if not self._reader.is_done:
            raise StreamError("the stream was closed before it ended")
        return self._builder.build()


class CompletionStream(_Reading):
    """The chunks of one completion, as the server produces them.

    Use it in a `with` block: leaving the block closes the connection, and the server stops
    generating. Entering the block or the first `next` sends the request and raises its errors;
    errors within the stream are raised while iterating.
    """

    def __init__(self, open_response: Callable[[], httpx.Response]) -> None:
        super().__init__()
        self._open_response = open_response
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes]

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> CompletionChunk:
        try:
            while not self._is_closed:
                chunk = self._pop()
                if chunk is not None:
                    return chunk
                if self._reader.is_done:
                    break
                self._start()
                with connection_errors():
                    piece = next(self._pieces, None)
                self._take(piece)
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def final(self) -> Completion:
        """Read to the end and return the whole completion, including chunks already read.

        Raises:
            StreamError: the stream failed or was closed early.
        """
        for _ in self:
            pass
        return self._build()

    def close(self) -> None:
        """Close the connection and end the iteration. May be called more than once."""
        self._is_closed = True
        if self._response is not None:
            self._response.close()

    def _start(self) -> None:
        if self._response is None and not self._is_closed:
            self._response = self._open_response()
            self._pieces = self._response.iter_bytes()


class AsyncCompletionStream(_Reading):
    """`CompletionStream` for `async with` and `async for`."""

    def __init__(self, open_response: Callable[[], Awaitable[httpx.Response]]) -> None:
        super().__init__()
        self._open_response = open_response
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes]

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CompletionChunk:
        try:
            while not self._is_closed:
                chunk = self._pop()
                if chunk is not None:
                    return chunk
                if self._reader.is_done:
                    break
                await self._start()
                with connection_errors():
                    piece = await anext(self._pieces, None)
                self._take(piece)
        except BaseException:
            await self.close()
            raise
        await self.close()
        raise StopAsyncIteration

    async def final(self) -> Completion:
        """Read to the end and return the whole completion, including chunks already read.

        Raises:
            StreamError: the stream failed or was closed early.
        """
        async for _ in self:
            pass
        return self._build()

    async def close(self) -> None:
        """Close the connection and end the iteration. May be called more than once."""
        self._is_closed = True
        if self._response is not None:
            await self._response.aclose()

    async def _start(self) -> None:
        if self._response is None and not self._is_closed:
            self._response = await self._open_response()
            self._pieces = self._response.aiter_bytes()
