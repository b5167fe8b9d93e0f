"""Streams: iterators of chunks that own a connection, for every endpoint."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Generic, Self

import httpx

from qstar_client._answers import check_event_stream, connection_errors
from qstar_client._events import StreamEvent
from qstar_client._stream_reader import Chunk, StreamFormat, StreamReader, Whole


class Stream(Generic[Chunk, Whole]):
    """The chunks of one answer, as the server produces them. For one thread.

    Leaving its `with` block or a loop over it closes the connection, and the server stops
    generating. Entering the block or the first `next` sends the request and raises its errors;
    errors within the stream are raised while iterating. There is one loop over a stream; to read
    some chunks and go on later, call `next`.
    """

    def __init__(
        self, open_response: Callable[[], httpx.Response], form: StreamFormat[Chunk, Whole]
    ) -> None:
        self._open_response = open_response
        self._form = form
        self._reader = StreamReader(form)
        self._is_closed = False
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes]

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Chunk]:
        self._reader.check_readable(is_closed=self._is_closed)
        try:
            while True:
                try:
                    chunk = self.__next__()
                except StopIteration:
                    return
                yield chunk
        finally:
            self.close()  # also when a loop is left early

    def __next__(self) -> Chunk:
        try:
            while not self._is_closed:
                chunk = self._reader.pop()
                if chunk is not None:
                    return chunk
                if self._reader.is_done:
                    break
                self.open()
                with connection_errors():
                    piece = next(self._pieces, None)
                if piece is None:
                    self._reader.end()
                else:
                    self._reader.feed(piece)
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def events(self) -> Iterator[StreamEvent]:
        """Iterate over what happens, as typed events instead of chunks: thoughts, text, end, usage.

        Raises:
            StreamError: the stream failed.
        """
        for chunk in self:
            yield from self._form.events(chunk)

    def final(self) -> Whole:
        """Read to the end and return the whole answer, including chunks already read.

        Raises:
            StreamError: the stream failed or was closed early.
        """
        for _ in self:
            pass
        return self._reader.join()

    def open(self) -> None:
        """Send the request, unless that is done already."""
        if self._response is not None or self._is_closed:
            return
        response = self._open_response()
        try:
            check_event_stream(response)
        except BaseException:
            response.close()
            raise
        self._response = response
        self._pieces = response.iter_bytes()

    def close(self) -> None:
        """Close the connection and end the iteration. May be called more than once."""
        self._is_closed = True
        if self._response is not None:
            self._response.close()


class AsyncStream(Generic[Chunk, Whole]):
    """`Stream` for `async with` and `async for`."""

    def __init__(
        self,
        open_response: Callable[[], Awaitable[httpx.Response]],
        form: StreamFormat[Chunk, Whole],
    ) -> None:
        self._open_response = open_response
        self._form = form
        self._reader = StreamReader(form)
        self._is_closed = False
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes]

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        self._reader.check_readable(is_closed=self._is_closed)
        try:
            while True:
                try:
                    chunk = await self.__anext__()
                except StopAsyncIteration:
                    return
                yield chunk
        finally:
            await self.close()  # also when a loop is left early

    async def __anext__(self) -> Chunk:
        try:
            while not self._is_closed:
                chunk = self._reader.pop()
                if chunk is not None:
                    return chunk
                if self._reader.is_done:
                    break
                await self.open()
                with connection_errors():
                    piece = await anext(self._pieces, None)
                if piece is None:
                    self._reader.end()
                else:
                    self._reader.feed(piece)
        except BaseException:
            await self.close()
            raise
        await self.close()
        raise StopAsyncIteration

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Iterate over what happens, as typed events instead of chunks: thoughts, text, end, usage.

        Raises:
            StreamError: the stream failed.
        """
        try:
            async for chunk in self:
                for event in self._form.events(chunk):
                    yield event
        finally:
            await self.close()

    async def final(self) -> Whole:
        """Read to the end and return the whole answer, including chunks already read.

        Raises:
            StreamError: the stream failed or was closed early.
        """
        async for _ in self:
            pass
        return self._reader.join()

    async def open(self) -> None:
        """Send the request, unless that is done already."""
        if self._response is not None or self._is_closed:
            return
        response = await self._open_response()
        try:
            check_event_stream(response)
        except BaseException:
            await response.aclose()
            raise
        self._response = response
        self._pieces = response.aiter_bytes()

    async def close(self) -> None:
        """Close the connection and end the iteration. May be called more than once."""
        self._is_closed = True
        if self._response is not None:
            await self._response.aclose()
