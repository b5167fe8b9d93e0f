"""`client.responses`: answers as lists of items."""

from typing import Literal, Unpack, overload

from qstar_client._config import Timeout
from qstar_client._generation import AsyncGeneration, Generation
from qstar_client._request_body import JSONBody, request_body, streamed
from qstar_client._responses.params import ResponseInput, ResponseParams
from qstar_client._responses.stream_format import RESPONSE_STREAM
from qstar_client._responses.types import Response, ResponseStreamEvent
from qstar_client._streams import AsyncStream, Stream

ResponseStream = Stream[ResponseStreamEvent, Response]
AsyncResponseStream = AsyncStream[ResponseStreamEvent, Response]

_PATH = "/v1/responses"


class Responses:
    """`client.responses`: answers as lists of items."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    @overload
    def create(
        self,
        *,
        input: ResponseInput,
        model: str | None = None,
        stream: Literal[False] | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response: ...

    @overload
    def create(
        self,
        *,
        input: ResponseInput,
        stream: Literal[True],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> ResponseStream: ...

    @overload
    def create(
        self,
        *,
        input: ResponseInput,
        stream: bool | None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response | ResponseStream: ...

    def create(
        self,
        *,
        input: ResponseInput,
        stream: bool | None = None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response | ResponseStream:
        """Answer the input with a whole response, or with the open stream.

        Args:
            input: a text, or a list of messages and other items.
            stream: True returns the server's events as they arrive.
            model: a model id; None if the server has exactly one model.
            extra_body: further fields of the JSON body; they override the arguments.
            timeout: replaces the client's timeout in this call.
            **params: see `ResponseParams`.

        Raises:
            APIStatusError: the server rejected the request or failed; see its subclasses.
            APIConnectionError: no complete response arrived.
            InvalidResponseError: the body is not a response.
            QStarClientError: `model` is None, but the server has no model or several.
            TypeError: an argument has an unknown name.
        """
        body = _body(input, params, extra_body)
        if not stream:
            return self._generation.whole(_PATH, body, Response, model=model, timeout=timeout)
        chunks = self._generation.stream(
            _PATH, streamed(body, with_usage=False), RESPONSE_STREAM, model=model, timeout=timeout
        )
        chunks.open()
        return chunks

    def stream(
        self,
        *,
        input: ResponseInput,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> ResponseStream:
        """Answer the input with the server's events as they arrive, at last the whole response.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = streamed(_body(input, params, extra_body), with_usage=False)
        return self._generation.stream(_PATH, body, RESPONSE_STREAM, model=model, timeout=timeout)


class AsyncResponses:
    """`client.responses`: answers as lists of items."""

    def __init__(self, generation: AsyncGeneration) -> None:
        self._generation = generation

    @overload
    async def create(
        self,
        *,
        input: ResponseInput,
        model: str | None = None,
        stream: Literal[False] | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response: ...

    @overload
    async def create(
        self,
        *,
        input: ResponseInput,
        stream: Literal[True],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> AsyncResponseStream: ...

    @overload
    async def create(
        self,
        *,
        input: ResponseInput,
        stream: bool | None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response | AsyncResponseStream: ...

    async def create(
        self,
        *,
        input: ResponseInput,
        stream: bool | None = None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response | AsyncResponseStream:
        """Answer the input with a whole response, or with the open stream.

        Args:
            input: a text, or a list of messages and other items.
            stream: True returns the server's events as they arrive.
            model: a model id; None if the server has exactly one model.
            extra_body: further fields of the JSON body; they override the arguments.
            timeout: replaces the client's timeout in this call.
            **params: see `ResponseParams`.

        Raises:
            APIStatusError: the server rejected the request or failed; see its subclasses.
            APIConnectionError: no complete response arrived.
            InvalidResponseError: the body is not a response.
            QStarClientError: `model` is None, but the server has no model or several.
            TypeError: an argument has an unknown name.
        """
        body = _body(input, params, extra_body)
        if not stream:
            return await self._generation.whole(_PATH, body, Response, model=model, timeout=timeout)
        chunks = self._generation.stream(
            _PATH, streamed(body, with_usage=False), RESPONSE_STREAM, model=model, timeout=timeout
        )
        await chunks.open()
        return chunks

    def stream(
        self,
        *,
        input: ResponseInput,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ResponseParams],
    ) -> AsyncResponseStream:
        """Answer the input with the server's events as they arrive, at last the whole response.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = streamed(_body(input, params, extra_body), with_usage=False)
        return self._generation.stream(_PATH, body, RESPONSE_STREAM, model=model, timeout=timeout)


def _body(input: ResponseInput, params: ResponseParams, extra_body: JSONBody | None) -> JSONBody:
    return request_body({"input": input}, params, extra_body, allowed=ResponseParams)
