"""Converts httpx responses and exceptions to this client's types and errors. No I/O."""

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
    """Parse the body of a successful response, which must have been read.

    Raises:
        InvalidResponseError: the body is not JSON, or does not fit the type.
    """
    try:
        return answer_type.model_validate_json(response.content)
    except ValidationError as error:
        raise InvalidResponseError(
            f"the response of {response.url} is not a {answer_type.__name__}: {summary(error)}; "
            "does base_url point at a Quiet-STaR server?"
        ) from None  # pydantic's message quotes the body, which may contain a prompt


def summary(error: ValidationError) -> str:
    """The first validation error, without the invalid value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    # A JSON syntax error has no place; its message contains only the position.
    return f"{place}: {first['msg']}" if place else first["msg"]


def status_error(response: httpx.Response) -> APIStatusError:
    """The error for a response outside 200..299, whose body must have been read."""
    status = response.status_code
    error_type = _STATUS_ERRORS.get(status, ServerError if status >= 500 else APIStatusError)
    body = _json_or_text(response)
    message, param, code = error_fields(body)
    error = error_type(
        message or response.reason_phrase or "the server sent no error message",
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
    """Message, param and code of an error body; each is None if missing.

    Accepts any JSON or text, because proxies in front of the server send other bodies.
    """
    if isinstance(body, dict):
        body = body.get("error", body)
    if isinstance(body, str):
        return body.strip()[:_MAX_SHOWN_CHARS] or None, None, None
    if not isinstance(body, dict):
        return None, None, None
    return _text(body.get("message")), _text(body.get("param")), _text(body.get("code"))


def connection_error(error: httpx.RequestError) -> APIConnectionError:
    """The error for a request without a complete response."""
    url = error.request.url
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        return APITimeoutError(f"connecting to {url} timed out; is the server reachable?")
    if isinstance(error, httpx.TimeoutException):
        return APITimeoutError(f"{url} did not respond in time ({reason}); try a larger timeout")
    if isinstance(error, httpx.ConnectError):
        return APIConnectionError(f"cannot connect to {url}: {reason}; is the server running?")
    return APIConnectionError(f"the connection to {url} broke: {reason}")


@contextmanager
def connection_errors() -> Iterator[None]:
    """Convert httpx's request errors to this client's errors."""
    try:
        yield
    except httpx.RequestError as error:
        raise connection_error(error) from error


def only_model(models: list[Model]) -> str:
    """The id of the only model.

    Raises:
        QStarClientError: there is no model, or several.
    """
    if len(models) != 1:
        names = ", ".join(model.id for model in models) or "none"
        raise QStarClientError(f"pass model=...: the server has {len(models)} models ({names})")
    return models[0].id


def _json_or_text(response: httpx.Response) -> object:
    try:
        return json.loads(response.content)
    except ValueError:
        return response.text


def _text(value: object) -> str | None:
    return None if value is None else str(value)
