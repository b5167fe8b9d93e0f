"""Requests that generate: one answer or a stream, by the only model where none is named."""

from typing import TypeVar

import httpx
from pydantic import BaseModel

from qstar_client._answers import decode
from qstar_client._config import Timeout
from qstar_client._http import AsyncSession, Session
from qstar_client._models import AsyncModels, Models
from qstar_client._request_body import JSONBody
from qstar_client._stream_reader import Chunk, StreamFormat, Whole
from qstar_client._streams import AsyncStream, Stream

Answer = TypeVar("Answer", bound=BaseModel)


class Generation:
    """Sends the requests of all endpoints that generate.

    Args:
        session: the connection to the server.
        models: knows the server's only model.
    """

    def __init__(self, session: Session, models: Models) -> None:
        self._session = session
        self._models = models

    def whole(
        self,
        path: str,
        body: JSONBody,
        answer_type: type[Answer],
        *,
        model: str | None,
        timeout: Timeout | None,
    ) -> Answer:
        """Send the request and wait for the complete answer."""
        response = self._session.fetch(path, body=self._with_model(body, model), timeout=timeout)
        return decode(response, answer_type)

    def stream(
        self,
        path: str,
        body: JSONBody,
        form: StreamFormat[Chunk, Whole],
        *,
        model: str | None,
        timeout: Timeout | None,
    ) -> Stream[Chunk, Whole]:
        """A stream that sends the request when it is opened."""

        def open_response() -> httpx.Response:
            return self._session.open(path, body=self._with_model(body, model), timeout=timeout)

        return Stream(open_response, form)

    def _with_model(self, body: JSONBody, model: str | None) -> JSONBody:
        if "model" in body:  # from extra_body
            return body
        return {"model": self._models.only_id() if model is None else model, **body}


class AsyncGeneration:
    """`Generation` with await."""

    def __init__(self, session: AsyncSession, models: AsyncModels) -> None:
        self._session = session
        self._models = models

    async def whole(
        self,
        path: str,
        body: JSONBody,
        answer_type: type[Answer],
        *,
        model: str | None,
        timeout: Timeout | None,
    ) -> Answer:
        """Send the request and wait for the complete answer."""
        body = await self._with_model(body, model)
        return decode(await self._session.fetch(path, body=body, timeout=timeout), answer_type)

    def stream(
        self,
        path: str,
        body: JSONBody,
        form: StreamFormat[Chunk, Whole],
        *,
        model: str | None,
        timeout: Timeout | None,
    ) -> AsyncStream[Chunk, Whole]:
        """A stream that sends the request when it is opened."""

        async def open_response() -> httpx.Response:
            named = await self._with_model(body, model)
            return await self._session.open(path, body=named, timeout=timeout)

        return AsyncStream(open_response, form)

    async def _with_model(self, body: JSONBody, model: str | None) -> JSONBody:
        if "model" in body:  # from extra_body
            return body
        return {"model": await self._models.only_id() if model is None else model, **body}
