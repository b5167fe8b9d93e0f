"""The async client: `_client.py` with await. A test checks that both have the same surface."""

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self, Unpack
from urllib.parse import quote

import httpx

from qstar_client._answers import decode, only_model
from qstar_client._config import DEFAULT_TIMEOUT_S, HEALTH_TIMEOUT_S, Timeout, resolve_config
from qstar_client._errors import ServiceUnavailableError
from qstar_client._http import AsyncSession, JSONBody
from qstar_client._params import CompletionParams, Prompt, check_not_streamed, completion_body
from qstar_client._streams import AsyncCompletionStream
from qstar_client._types import Completion, Model, ModelList


class AsyncModels:
    """`client.models`: the models that the server serves."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._only_id: str | None = None

    async def list(self) -> list[Model]:
        """Every model of the server."""
        return decode(await self._session.fetch("/v1/models"), ModelList).data

    async def retrieve(self, model: str) -> Model:
        """One model by its id.

        Raises:
            NotFoundError: the server has no such model.
        """
        return decode(await self._session.fetch(f"/v1/models/{quote(model)}"), Model)

    async def only_id(self) -> str:
        """The id of the server's only model; the server is asked once.

        Raises:
            QStarClientError: the server has no model or several.
        """
        if self._only_id is None:
            self._only_id = only_model(await self.list())
        return self._only_id


class AsyncCompletions:
    """`client.completions`: completions and their thoughts."""

    def __init__(self, session: AsyncSession, models: AsyncModels) -> None:
        self._session = session
        self._models = models

    async def create(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        stream: Literal[False] = False,
        extra_body: Mapping[str, object] | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion:
        """Complete the prompt and return the whole completion.

        Args:
            prompt: a text or a list of token ids, or a list of these.
            model: a model id; None if the server has exactly one model.
            stream: must be False; for streaming call `stream()`.
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
        check_not_streamed(stream)
        body = completion_body(prompt, params, extra_body, stream=False)
        response = await self._session.fetch(
            "/v1/completions", body=await self._with_model(body, model), timeout=timeout
        )
        return decode(response, Completion)

    def stream(
        self,
        *,
        prompt: Prompt,
        model: str | None = None,
        extra_body: Mapping[str, object] | None = None,
        timeout: Timeout | None = None,
        **params: Unpack[CompletionParams],
    ) -> AsyncCompletionStream:
        """Complete the prompt and return the chunks as they arrive.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = completion_body(prompt, params, extra_body, stream=True)

        async def open_response() -> httpx.Response:
            return await self._session.open(
                "/v1/completions", body=await self._with_model(body, model), timeout=timeout
            )

        return AsyncCompletionStream(open_response)

    async def _with_model(self, body: JSONBody, model: str | None) -> JSONBody:
        if "model" in body:  # from extra_body
            return body
        return {"model": await self._models.only_id() if model is None else model, **body}


class AsyncQStarClient:
    """An async client of a Quiet-STaR server. Close it, or use it in an `async with` block.

    For asyncio; the tasks of one event loop can share it. Connections stay open between calls.

    Args:
        base_url: URL of the server; None: QSTAR_BASE_URL, else http://127.0.0.1:8000. A trailing
            /v1 is removed.
        api_key: sent as a bearer token; None: QSTAR_API_KEY, else no key is sent.
        timeout: seconds to wait for the next bytes of a response (`create` gets all bytes at the
            end), or an `httpx.Timeout`. If it is a number, connecting may take at most 5 s.
        max_retries: number of retries after failures that cannot have started a generation: no
            connection, 429 or 503.
        transport: replaces the network, for tests.

    Raises:
        ValueError: an argument is malformed.
    """

    completions: AsyncCompletions
    models: AsyncModels

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        config = resolve_config(
            base_url=base_url, api_key=api_key, timeout=timeout, max_retries=max_retries
        )
        self._session = AsyncSession(config, transport)
        self.models = AsyncModels(self._session)
        self.completions = AsyncCompletions(self._session, self.models)

    def __repr__(self) -> str:
        return f"AsyncQStarClient(base_url={self._session.config.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def health(self) -> bool:
        """Whether the server is ready. False if it is loading, draining or stopped (503).

        Sends one request, without retries, and waits at most 5 s.

        Raises:
            APIConnectionError: the server cannot be reached.
        """
        try:
            await self._session.fetch("/health", timeout=HEALTH_TIMEOUT_S, retry=False)
        except ServiceUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close all connections; open streams end with an error."""
        await self._session.close()
