"""`client.completions`: completions and their thoughts."""

from typing import Literal, Unpack, overload

from qstar_client._completions.params import CompletionParams, Prompt
from qstar_client._completions.stream_format import COMPLETION_STREAM
from qstar_client._completions.types import Completion, CompletionChunk
from qstar_client._config import Timeout
from qstar_client._generation import AsyncGeneration, Generation
from qstar_client._request_body import JSONBody, request_body, streamed
from qstar_client._streams import AsyncStream, Stream

CompletionStream = Stream[CompletionChunk, Completion]
AsyncCompletionStream = AsyncStream[CompletionChunk, Completion]

_PATH = "/v1/completions"


class Completions:
    """`client.completions`: completions and their thoughts."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    @overload
    def create(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        stream: Literal[False] | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...

    @overload
    def create(
        self,
        *,
        prompt: Prompt,
        stream: Literal[True],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> CompletionStream: ...

    @overload
    def create(
        self,
        *,
        prompt: Prompt,
        stream: bool | None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion | CompletionStream: ...

    def create(
        self,
        *,
        prompt: Prompt,
        stream: bool | None = None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion | CompletionStream:
        """Complete the prompt and return the whole completion, or the open stream.

        Args:
            prompt: a text or a list of token ids, or a list of these.
            stream: True returns the chunks as they arrive. The token counts are among them only
                with `stream_options`, as in the openai package.
            model: a model id; None if the server has exactly one model.
            extra_body: further fields of the JSON body; they override the arguments.
            timeout: replaces the client's timeout in this call.
            **params: see `CompletionParams`.

        Raises:
            APIStatusError: the server rejected the request or failed; see its subclasses.
            APIConnectionError: no complete response arrived.
            InvalidResponseError: the response is not a completion.
            QStarClientError: `model` is None, but the server has no model or several.
            TypeError: an argument has an unknown name.
        """
        body = _body(prompt, params, extra_body)
        if not stream:
            return self._generation.whole(_PATH, body, Completion, model=model, timeout=timeout)
        chunks = self._generation.stream(
            _PATH, streamed(body, with_usage=False), COMPLETION_STREAM, model=model, timeout=timeout
        )
        chunks.open()
        return chunks

    def stream(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> CompletionStream:
        """Complete the prompt and return the chunks as they arrive, at last the token counts.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = streamed(_body(prompt, params, extra_body), with_usage=True)
        return self._generation.stream(_PATH, body, COMPLETION_STREAM, model=model, timeout=timeout)


class AsyncCompletions:
    """`client.completions`: completions and their thoughts."""

    def __init__(self, generation: AsyncGeneration) -> None:
        self._generation = generation

    @overload
    async def create(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        stream: Literal[False] | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...

    @overload
    async def create(
        self,
        *,
        prompt: Prompt,
        stream: Literal[True],
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> AsyncCompletionStream: ...

    @overload
    async def create(
        self,
        *,
        prompt: Prompt,
        stream: bool | None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion | AsyncCompletionStream: ...

    async def create(
        self,
        *,
        prompt: Prompt,
        stream: bool | None = None,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion | AsyncCompletionStream:
        """Complete the prompt and return the whole completion, or the open stream.

        Args:
            prompt: a text or a list of token ids, or a list of these.
            stream: True returns the chunks as they arrive. The token counts are among them only
                with `stream_options`, as in the openai package.
            model: a model id; None if the server has exactly one model.
            extra_body: further fields of the JSON body; they override the arguments.
            timeout: replaces the client's timeout in this call.
            **params: see `CompletionParams`.

        Raises:
            APIStatusError: the server rejected the request or failed; see its subclasses.
            APIConnectionError: no complete response arrived.
            InvalidResponseError: the response is not a completion.
            QStarClientError: `model` is None, but the server has no model or several.
            TypeError: an argument has an unknown name.
        """
        body = _body(prompt, params, extra_body)
        if not stream:
            return await self._generation.whole(
                _PATH, body, Completion, model=model, timeout=timeout
            )
        chunks = self._generation.stream(
            _PATH, streamed(body, with_usage=False), COMPLETION_STREAM, model=model, timeout=timeout
        )
        await chunks.open()
        return chunks

    def stream(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        extra_body: JSONBody | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> AsyncCompletionStream:
        """Complete the prompt and return the chunks as they arrive, at last the token counts.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = streamed(_body(prompt, params, extra_body), with_usage=True)
        return self._generation.stream(_PATH, body, COMPLETION_STREAM, model=model, timeout=timeout)


def _body(prompt: Prompt, params: CompletionParams, extra_body: JSONBody | None) -> JSONBody:
    return request_body({"prompt": prompt}, params, extra_body, allowed=CompletionParams)
