"""Sends requests and retries them: a blocking and an async session, with the same steps.

Other modules decide whether to retry, after which delay, and which error to raise.
"""

import asyncio
import random
import time
from typing import Final, NoReturn

import httpx

from qstar_client._answers import connection_error, connection_errors, status_error
from qstar_client._config import ClientConfig, Timeout, to_httpx_timeout
from qstar_client._errors import QStarClientError
from qstar_client._proxies import environment_errors, is_this_machine
from qstar_client._request_body import JSONBody, encode_json
from qstar_client._retry import parse_retry_after, retry_delay, should_retry

# uvicorn by default closes idle connections after 5 s. The client closes them earlier, because a
# request on a connection that is being closed may have been read and cannot be retried safely. The
# caller limits the number of concurrent requests; 1000 only protects the file descriptors.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=2.0)


class _Attempts:
    """Counts the failures of one request, up to the allowed number of retries."""

    def __init__(self, max_retries: int, *, is_repeatable: bool) -> None:
        self._max_retries: Final = max_retries
        self._is_repeatable: Final = is_repeatable
        self._num_failures = 0

    def delay_before_next(self, outcome: httpx.Response | httpx.RequestError) -> float | None:
        """Seconds to wait before the next attempt; None if the outcome is final."""
        self._num_failures += 1
        if self._num_failures > self._max_retries:
            return None
        if not should_retry(outcome, is_repeatable=self._is_repeatable):
            return None
        retry_after_s = None
        if isinstance(outcome, httpx.Response):
            retry_after_s = parse_retry_after(outcome.headers, now_s=time.time())
        return retry_delay(self._num_failures, retry_after_s=retry_after_s, jitter=random.random())


class _Requests:
    """Builds the requests of both sessions."""

    config: ClientConfig
    _client: httpx.Client | httpx.AsyncClient

    def _request(self, path: str, body: JSONBody | None, timeout: Timeout | None) -> httpx.Request:
        return self._client.build_request(
            "GET" if body is None else "POST",
            path,
            content=None if body is None else encode_json(body),
            headers=None if body is None else {"content-type": "application/json"},
            timeout=self.config.timeout if timeout is None else to_httpx_timeout(timeout),
        )

    def _attempts(self, *, retry: bool, is_repeatable: bool) -> _Attempts:
        return _Attempts(self.config.max_retries if retry else 0, is_repeatable=is_repeatable)


def _raise_closed(error: RuntimeError) -> NoReturn:
    raise QStarClientError(
        "the client is closed: create another one, or make all calls inside its `with` block"
    ) from error


class Session(_Requests):
    """Sends requests over a connection pool, and retries them if that is safe."""

    _client: httpx.Client

    def __init__(self, config: ClientConfig, transport: httpx.BaseTransport | None) -> None:
        self.config = config
        with environment_errors():
            if transport is None and is_this_machine(config.base_url):
                transport = httpx.HTTPTransport(limits=_LIMITS)  # knows no proxies
            self._client = httpx.Client(
                base_url=config.base_url,
                headers=config.headers,
                limits=_LIMITS,
                transport=transport,
            )

    def fetch(
        self,
        path: str,
        *,
        body: JSONBody | None = None,
        timeout: Timeout | None = None,
        retry: bool = True,
        is_repeatable: bool = False,
    ) -> httpx.Response:
        """Send a GET, or a POST if there is a body; returns the complete successful response.

        Args:
            path: appended to the base URL.
            body: becomes JSON.
            timeout: replaces the client's.
            retry: whether to send the request again after a failure that allows it.
            is_repeatable: whether a POST starts no generation, so that it can be sent twice.
        """
        response = self.open(
            path, body=body, timeout=timeout, retry=retry, is_repeatable=is_repeatable
        )
        self._read(response)
        return response

    def open(
        self,
        path: str,
        *,
        body: JSONBody | None = None,
        timeout: Timeout | None = None,
        retry: bool = True,
        is_repeatable: bool = False,
    ) -> httpx.Response:
        """Like `fetch`, but does not read the body; the caller reads and closes the response."""
        request = self._request(path, body, timeout)
        attempts = self._attempts(retry=retry, is_repeatable=is_repeatable or body is None)
        while True:
            outcome = self._attempt(request)
            delay_s = attempts.delay_before_next(outcome)
            if delay_s is None:
                return self._finish(outcome)
            if isinstance(outcome, httpx.Response):
                outcome.close()
            time.sleep(delay_s)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _attempt(self, request: httpx.Request) -> httpx.Response | httpx.RequestError:
        try:
            return self._client.send(request, stream=True)
        except httpx.RequestError as error:
            return error
        except RuntimeError as error:
            if not self._client.is_closed:
                raise
            _raise_closed(error)

    def _finish(self, outcome: httpx.Response | httpx.RequestError) -> httpx.Response:
        if isinstance(outcome, httpx.RequestError):
            raise connection_error(outcome) from outcome
        if not outcome.is_success:
            self._read(outcome)
            raise status_error(outcome, api_key=self.config.api_key)
        return outcome

    def _read(self, response: httpx.Response) -> None:
        try:
            with connection_errors():
                response.read()
        finally:
            response.close()


class AsyncSession(_Requests):
    """`Session` with await."""

    _client: httpx.AsyncClient

    def __init__(self, config: ClientConfig, transport: httpx.AsyncBaseTransport | None) -> None:
        self.config = config
        with environment_errors():
            if transport is None and is_this_machine(config.base_url):
                transport = httpx.AsyncHTTPTransport(limits=_LIMITS)  # knows no proxies
            self._client = httpx.AsyncClient(
                base_url=config.base_url,
                headers=config.headers,
                limits=_LIMITS,
                transport=transport,
            )

    async def fetch(
        self,
        path: str,
        *,
        body: JSONBody | None = None,
        timeout: Timeout | None = None,
        retry: bool = True,
        is_repeatable: bool = False,
    ) -> httpx.Response:
        """Send a request and return the complete successful response; see `Session.fetch`."""
        response = await self.open(
            path, body=body, timeout=timeout, retry=retry, is_repeatable=is_repeatable
        )
        await self._read(response)
        return response

    async def open(
        self,
        path: str,
        *,
        body: JSONBody | None = None,
        timeout: Timeout | None = None,
        retry: bool = True,
        is_repeatable: bool = False,
    ) -> httpx.Response:
        """Like `fetch`, but does not read the body; the caller reads and closes the response."""
        request = self._request(path, body, timeout)
        attempts = self._attempts(retry=retry, is_repeatable=is_repeatable or body is None)
        while True:
            outcome = await self._attempt(request)
            delay_s = attempts.delay_before_next(outcome)
            if delay_s is None:
                return await self._finish(outcome)
            if isinstance(outcome, httpx.Response):
                await outcome.aclose()
            await asyncio.sleep(delay_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _attempt(self, request: httpx.Request) -> httpx.Response | httpx.RequestError:
        try:
            return await self._client.send(request, stream=True)
        except httpx.RequestError as error:
            return error
        except RuntimeError as error:
            if not self._client.is_closed:
                raise
            _raise_closed(error)

    async def _finish(self, outcome: httpx.Response | httpx.RequestError) -> httpx.Response:
        if isinstance(outcome, httpx.RequestError):
            raise connection_error(outcome) from outcome
        if not outcome.is_success:
            await self._read(outcome)
            raise status_error(outcome, api_key=self.config.api_key)
        return outcome

    async def _read(self, response: httpx.Response) -> None:
        try:
            with connection_errors():
                await response.aread()
        finally:
            await response.aclose()
