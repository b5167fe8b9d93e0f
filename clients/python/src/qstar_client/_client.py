"""The blocking client."""

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self, Unpack
from urllib.parse import quote

import httpx

from qstar_client._answers import decode, only_model
from qstar_client._config import DEFAULT_TIMEOUT_S, HEALTH_TIMEOUT_S, Timeout, resolve_config
from qstar_client._errors import ServiceUnavailableError
from qstar_client._http import JSONBody, Session
from qstar_client._params import CompletionParams, Prompt, check_not_streamed, completion_body
from qstar_client._streams import CompletionStream
from qstar_client._types import Completion, Model, ModelList


class Models:
    """`client.models`: the models that the server serves."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._only_id: str | None = None

    def list(self) -> list[Model]:
        """Every model of the server."""
        return decode(self._session.fetch("/v1/models"), ModelList).data

    def retrieve(self, model: str) -> Model:
        """One model by its id.

        Raises:
            NotFoundError: the server has no such model.
        """
        return decode(self._session.fetch(f"/v1/models/{quote(model)}"), Model)

    def only_id(self) -> str:
        """The id of the server's only model; the server is asked once.

        Raises:
            QStarClientError: the server has no model or several.
        """
        if self._only_id is None:
            self._only_id = only_model(self.list())
        return self._only_id


class Completions:
    """`client.completions`: completions and their thoughts."""

    def __init__(self, session: Session, models: Models) -> None:
        self._session = session
        self._models = models

    def create(
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
        response = self._session.fetch(
            "/v1/completions", body=self._with_model(body, model), timeout=timeout
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
    ) -> CompletionStream:
        """Complete the prompt and return the chunks as they arrive.

        The arguments are those of `create`; `timeout` limits each wait for the next bytes. The
        request is sent when the stream is entered or first iterated.
        """
        body = completion_body(prompt, params, extra_body, stream=True)

        def open_response() -> httpx.Response:
            return self._session.open(
                "/v1/completions", body=self._with_model(body, model), timeout=timeout
            )

        return CompletionStream(open_response)

    def _with_model(self, body: JSONBody, model: str | None) -> JSONBody:
        if "model" in body:  # from extra_body
            return body
        return {"model": self._models.only_id() if model is None else model, **body}


class QStarClient:
    """A blocking client of a Quiet-STaR server. Close it, or use it in a `with` block.

    Thread-safe. Connections stay open between calls.

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

    completions: Completions
    models: Models

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
        max_retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        config = resolve_config(
            base_url=base_url, api_key=api_key, timeout=timeout, max_retries=max_retries
        )
        self._session = Session(config, transport)
        self.models = Models(self._session)
        self.completions = Completions(self._session, self.models)

    def __repr__(self) -> str:
        return f"QStarClient(base_url={self._session.config.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def health(self) -> bool:
        """Whether the server is ready. False if it is loading, draining or stopped (503).

        Sends one request, without retries, and waits at most 5 s.

        Raises:
            APIConnectionError: the server cannot be reached.
        """
        try:
            self._session.fetch("/health", timeout=HEALTH_TIMEOUT_S, retry=False)
        except ServiceUnavailableError:
            return False
        return True

    def close(self) -> None:
        """Close all connections; open streams end with an error."""
        self._session.close()
