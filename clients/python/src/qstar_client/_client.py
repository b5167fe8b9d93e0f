"""The blocking client."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from qstar_client._answers import decode
from qstar_client._chat.calls import Chat
from qstar_client._completions.calls import Completions
from qstar_client._config import DEFAULT_TIMEOUT_S, HEALTH_TIMEOUT_S, Timeout, resolve_config
from qstar_client._errors import ServiceUnavailableError
from qstar_client._generation import Generation
from qstar_client._http import Session
from qstar_client._models import Models
from qstar_client._request_body import present
from qstar_client._responses.calls import Responses
from qstar_client._tokens import DetokenizeResponse, TokenizeResponse


class QStarClient:
    """A blocking client of a Quiet-STaR server. Close it, or use it in a `with` block.

    Thread-safe. Connections stay open between calls.

    Args:
        base_url: URL of the server; None: QSTAR_BASE_URL, else http://127.0.0.1:8000. A trailing
            /v1 is removed.
        api_key: sent as a bearer token; None: QSTAR_API_KEY, else no key is sent.
        timeout: seconds to wait for the next bytes of a response (`create` gets all bytes at the
            end), or an `httpx.Timeout`. If it is a number, connecting may take at most 5 s.
        max_retries: number of retries. A request that generates is sent again only if no
            generation can have started: no connection, 408, 409, 429, 503.
        transport: replaces the network, for tests.

    Raises:
        ValueError: an argument is malformed.
        QStarClientError: the proxy or the certificates that the environment names cannot be used.
    """

    chat: Chat
    completions: Completions
    models: Models
    responses: Responses

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
        generation = Generation(self._session, self.models)
        self.chat = Chat(generation)
        self.completions = Completions(generation)
        self.responses = Responses(generation)

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

    def tokenize(
        self,
        *,
        prompt: str,
        add_special_tokens: bool | None = None,
        return_token_strs: bool = False,
    ) -> TokenizeResponse:
        """The token ids of a text.

        Args:
            prompt: the text.
            add_special_tokens: whether the tokenizer adds its own tokens, such as the beginning of
                a sequence. None: as in completions.
            return_token_strs: whether to name each token too.

        Raises:
            APIStatusError: the server rejected the request or failed.
        """
        options = {
            "add_special_tokens": add_special_tokens,
            "return_token_strs": return_token_strs,
        }
        body = {"prompt": prompt, **present(options)}
        response = self._session.fetch("/tokenize", body=body, is_repeatable=True)
        return decode(response, TokenizeResponse)

    def detokenize(self, *, tokens: Sequence[int]) -> DetokenizeResponse:
        """The text of token ids, with that of special tokens.

        Raises:
            APIStatusError: the server rejected the request or failed.
        """
        response = self._session.fetch("/detokenize", body={"tokens": tokens}, is_repeatable=True)
        return decode(response, DetokenizeResponse)

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
