"""`client.chat.completions`: answers to conversations."""

from collections.abc import Sequence
from typing import Literal, Unpack, overload

from qstar_client._chat.params import ChatCompletionParams, Message
from qstar_client._chat.stream_format import CHAT_STREAM
from qstar_client._chat.types import ChatCompletion, ChatCompletionChunk
from qstar_client._config import Timeout
from qstar_client._generation import AsyncGeneration, Generation
from qstar_client._request_body import JSONBody, request_body, streamed
from qstar_client._streams import AsyncStream, Stream

ChatCompletionStream = Stream[ChatCompletionChunk, ChatCompletion]
AsyncChatCompletionStream = AsyncStream[ChatCompletionChunk, ChatCompletion]

_PATH = "/v1/chat/completions"


class ChatCompletions:
    """`client.chat.completions`: answers to conversations."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    @overload
    def create(
        self,
        *,
        messages: Sequence[Message],
        model: str | None = None,
        stream: Literal[False] | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion: ...

    @overload
    def create(
        self,
        *,
        messages: Sequence[Message],
        stream: Literal[True],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletionStream: ...

    @overload
    def create(
        self,
        *,
        messages: Sequence[Message],
        stream: bool | None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | ChatCompletionStream: ...

    def create(
        self,
        *,
        messages: Sequence[Message],
        stream: bool | None = None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | ChatCompletionStream:
        """Answer the conversation with one whole completion, or with the open stream.

        Args:
            messages: the conversation. Each has a `role` and a `content`.
            stream: True returns the chunks as they arrive. The token counts are among them only
                with `stream_options`, as in the openai package.
            model: a model id; None if the server has exactly one model.
            extra_body: further fields of the JSON body; they override the arguments.
            timeout: replaces the client's timeout in this call.
            **params: see `ChatCompletionParams`.

        Raises:
            APIStatusError: the server rejected the request or failed; see its subclasses.
            APIConnectionError: no complete response arrived.
            InvalidResponseError: the response is not a chat completion.
            QStarClientError: `model` is None, but the server has no model or several.
            TypeError: an argument has an unknown name.
        """
        body = _body(messages, params, extra_body)
        if not stream:
            return self._generation.whole(_PATH, body, ChatCompletion, model=model, timeout=timeout)
        chunks = self._generation.stream(
            _PATH, streamed(body, with_usage=False), CHAT_STREAM, model=model, timeout=timeout
        )
        chunks.open()
        return chunks

    def stream(
        self,
        *,
        messages: Sequence[Message],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletionStream:
        """Answer the conversation with chunks as they arrive, at last the token counts.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = streamed(_body(messages, params, extra_body), with_usage=True)
        return self._generation.stream(_PATH, body, CHAT_STREAM, model=model, timeout=timeout)


class AsyncChatCompletions:
    """`client.chat.completions`: answers to conversations."""

    def __init__(self, generation: AsyncGeneration) -> None:
        self._generation = generation

    @overload
    async def create(
        self,
        *,
        messages: Sequence[Message],
        model: str | None = None,
        stream: Literal[False] | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion: ...

    @overload
    async def create(
        self,
        *,
        messages: Sequence[Message],
        stream: Literal[True],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> AsyncChatCompletionStream: ...

    @overload
    async def create(
        self,
        *,
        messages: Sequence[Message],
        stream: bool | None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | AsyncChatCompletionStream: ...

    async def create(
        self,
        *,
        messages: Sequence[Message],
        stream: bool | None = None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | AsyncChatCompletionStream:
        """Answer the conversation with one whole completion, or with the open stream.

        Args:
            messages: the conversation. Each has a `role` and a `content`.
            stream: True returns the chunks as they arrive. The token counts are among them only
                with `stream_options`, as in the openai package.
            model: a model id; None if the server has exactly one model.
            extra_body: further fields of the JSON body; they override the arguments.
            timeout: replaces the client's timeout in this call.
            **params: see `ChatCompletionParams`.

        Raises:
            APIStatusError: the server rejected the request or failed; see its subclasses.
            APIConnectionError: no complete response arrived.
            InvalidResponseError: the response is not a chat completion.
            QStarClientError: `model` is None, but the server has no model or several.
            TypeError: an argument has an unknown name.
        """
        body = _body(messages, params, extra_body)
        if not stream:
            return await self._generation.whole(
                _PATH, body, ChatCompletion, model=model, timeout=timeout
            )
        chunks = self._generation.stream(
            _PATH, streamed(body, with_usage=False), CHAT_STREAM, model=model, timeout=timeout
        )
        await chunks.open()
        return chunks

    def stream(
        self,
        *,
        messages: Sequence[Message],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> AsyncChatCompletionStream:
        """Answer the conversation with chunks as they arrive, at last the token counts.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = streamed(_body(messages, params, extra_body), with_usage=True)
        return self._generation.stream(_PATH, body, CHAT_STREAM, model=model, timeout=timeout)


class Chat:
    """`client.chat`, which has the same place as in the openai package."""

    completions: ChatCompletions

    def __init__(self, generation: Generation) -> None:
        self.completions = ChatCompletions(generation)


class AsyncChat:
    """`client.chat`, which has the same place as in the openai package."""

    completions: AsyncChatCompletions

    def __init__(self, generation: AsyncGeneration) -> None:
        self.completions = AsyncChatCompletions(generation)


def _body(
    messages: Sequence[Message], params: ChatCompletionParams, extra_body: JSONBody | None
) -> JSONBody:
    return request_body({"messages": messages}, params, extra_body, allowed=ChatCompletionParams)
