"""From httpx responses and exceptions to this client's types and errors. No I/O."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from qstar_client._errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    QStarClientError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
)
from qstar_client._retry import parse_retry_after
from qstar_client._types import Model

Answer = TypeVar("Answer", bound=BaseModel)

_STATUS_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}
_MAX_SHOWN_CHARS = 200


def decode(response: httpx.Response, answer_type: type[Answer]) -> Answer:
    """Validate the body of a successful response that has been read.

    Raises:
        InvalidResponseError: the body is not JSON, or not of this shape.
    """
    try:
        return answer_type.model_validate_json(response.content)
    except ValidationError as error:
        raise InvalidResponseError(
            f"the answer of {response.url} is not a {answer_type.__name__}: {summary(error)}; "
            "does base_url point at a Quiet-STaR server?"
        ) from None  # pydantic's own text quotes the body, which may hold a prompt


def summary(error: ValidationError) -> str:
    """The first thing wrong, without the offending value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    # A JSON syntax error quotes nothing but its position; it has no place.
    return f"{place}: {first['msg']}" if place else first["msg"]


def status_error(response: httpx.Response) -> APIStatusError:
    """The error for a response outside 200..299 whose body has been read."""
    status = response.status_code
    error_type = _STATUS_ERRORS.get(status, ServerError if status >= 500 else APIStatusError)
    body = _json_or_text(response)
    message, param, code = error_fields(body)
    error = error_type(
        message or response.reason_phrase or "the server gave no reason",
        status_code=status,
        param=param,
        code=code,
        request_id=response.headers.get("x-request-id"),
        body=body,
    )
    if isinstance(error, RateLimitError):
        error.retry_after_s = parse_retry_after(response.headers)
    return error


def error_fields(body: object) -> tuple[str | None, str | None, str | None]:
    """Message, param and code of an error body, each None where it has none.

    Proxies in front of the server have bodies of their own: any JSON or text is taken.
    """
    if isinstance(body, dict):
        body = body.get("error", body)
    if isinstance(body, str):
        return body.strip()[:_MAX_SHOWN_CHARS] or None, None, None
    if not isinstance(body, dict):
        return None, None, None
    return _text(body.get("message")), _text(body.get("param")), _text(body.get("code"))


def connection_error(error: httpx.RequestError) -> APIConnectionError:
    """The error for a request that got no whole answer."""
    url = error.request.url
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        return APITimeoutError(f"cannot connect to {url} in time; is the server reachable?")
    if isinstance(error, httpx.TimeoutException):
        return APITimeoutError(f"{url} did not answer in time ({reason}); raise timeout?")
    if isinstance(error, httpx.ConnectError):
        return APIConnectionError(f"cannot connect to {url}: {reason}; is the server running?")
    return APIConnectionError(f"the connection to {url} broke: {reason}")


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turn httpx's request errors into this client's."""
    try:
        yield
    except httpx.RequestError as error:
        raise connection_error(error) from error


def only_model(models: list[Model]) -> str:
    """The id to use where the caller names no model.

    Raises:
        QStarClientError: there is not exactly one.
    """
    if len(models) != 1:
        names = ", ".join(model.id for model in models) or "none"
        raise QStarClientError(f"name a model: the server has {len(models)} ({names})")
    return models[0].id


def _json_or_text(response: httpx.Response) -> object:
    try:
        return json.loads(response.content)
    except ValueError:
        return response.text


def _text(value: object) -> str | None:
    return None if value is None else str(value)
