"""Converts httpx responses and exceptions to this client's types and errors. No I/O."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from qstar_client._errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
)
from qstar_client._retry import parse_retry_after
from qstar_client._signs import printable

Answer = TypeVar("Answer", bound=BaseModel)

_STATUS_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}
_MAX_TEXT_CHARS = 200
"""Most characters shown of a body that is text, for example a web page."""
_MAX_MESSAGE_CHARS = 2000
_MIN_SECRET_CHARS = 8

WRONG_SERVER_HINT = "does base_url point at a Quiet-STaR server?"


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
            f"{WRONG_SERVER_HINT}"
        ) from None  # pydantic's message quotes the body, which may contain a prompt


def summary(error: ValidationError) -> str:
    """The first validation error, without the invalid value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    # A JSON syntax error has no place; its message contains only the position.
    return f"{place}: {first['msg']}" if place else first["msg"]


def check_event_stream(response: httpx.Response) -> None:
    """Refuse a successful response that says that it is something else than a stream.

    Raises:
        InvalidResponseError: it is a web page or JSON.
    """
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "text/html" or content_type.endswith("json"):
        raise InvalidResponseError(
            f"the response of {response.url} is {printable(content_type)}, not an event stream; "
            f"{WRONG_SERVER_HINT}"
        )


def status_error(response: httpx.Response, *, api_key: str | None = None) -> APIStatusError:
    """The error for a response outside 200..299, whose body must have been read.

    Args:
        api_key: is masked where the server repeats it.
    """
    status = response.status_code
    error_type = _STATUS_ERRORS.get(status, ServerError if status >= 500 else APIStatusError)
    content = response.content
    if api_key is not None and len(api_key) >= _MIN_SECRET_CHARS:
        content = content.replace(api_key.encode(), b"***")
    body = json_or_text(content)
    message, param, code = error_fields(body)
    if response.has_redirect_location:
        target = printable(response.headers["location"])[:_MAX_TEXT_CHARS]
        message = f"the server redirects to {target}; set base_url to the server's own address"
    error = error_type(
        message or response.reason_phrase or "the server sent no error message",
        status_code=status,
        param=param,
        code=code,
        request_id=response.headers.get("x-request-id"),
        body=body,
    )
    if isinstance(error, RateLimitError):
        error.retry_after_s = parse_retry_after(response.headers, now_s=time.time())
    return error


def error_fields(body: object) -> tuple[str | None, str | None, str | None]:
    """Message, param and code of an error body; each is None if missing.

    Accepts any JSON or text, because proxies in front of the server send other bodies. Control
    characters become signs, because a traceback shows the message in a terminal.
    """
    if isinstance(body, dict):
        body = body.get("error", body)
    if isinstance(body, str):
        return printable(body.strip()[:_MAX_TEXT_CHARS]) or None, None, None
    if not isinstance(body, dict):
        return None, None, None
    return _text(body.get("message")), _text(body.get("param")), _text(body.get("code"))


def json_or_text(content: bytes | str) -> object:
    """The value of a JSON text. Any other content is returned as text.

    JSON that is nested too deeply counts as text: Python's own parser raises RecursionError.
    """
    try:
        return from_json(content)
    except ValueError:
        return content if isinstance(content, str) else content.decode("utf-8", errors="replace")


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
    """Convert httpx's errors while a body is read to this client's errors."""
    try:
        yield
    except httpx.RequestError as error:
        raise connection_error(error) from error
    except httpx.StreamError as error:
        raise APIConnectionError("the response was closed while it was read") from error


def _text(value: object) -> str | None:
    return None if value is None else printable(str(value)[:_MAX_MESSAGE_CHARS])
