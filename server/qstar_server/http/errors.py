"""Every exception as OpenAI's error envelope: `{"error": {message, type, param, code}}`.

The size of a message is bounded, whatever a client sends.
"""

import json
import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from reprlib import Repr
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from qstar_infer.errors import (
    EngineClosedError,
    EngineDeadError,
    NotFiniteError,
    NoTokenError,
    QStarError,
    QueueFullError,
    RequestError,
)
from qstar_server.watching.request_record import current_record

logger = logging.getLogger(__name__)

NO_RETRY = {"x-should-retry": "false"}
"""Tells OpenAI's clients not to retry; by default they retry every 5xx."""

_MAX_URL_CHARS = 200
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
# A body of a few kilobytes can hold thousands of errors, each of which repeats its input. Without
# limits, a small request would get a huge response that echoes prompts. With these, no body of an
# error exceeds 2,000 bytes, although a character may be written as twelve.
_MAX_MESSAGE_BYTES = 1_400
_MAX_PARAM_BYTES = 300
_MAX_LINES_CHARS = 1_000
_MAX_INPUT_CHARS = 100
_MAX_PLACE_CHARS = 100
_REPR = Repr()
_REPR.maxstring = _MAX_INPUT_CHARS


class ApiError(Exception):
    """A response other than success.

    Attributes:
        status: HTTP status.
        message: one or two sentences for a human reader.
        type: OpenAI's error family, e.g. `invalid_request_error`.
        param: the request field at fault, or None.
        code: a machine-readable reason, or None.
        headers: extra response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = headers if headers is not None else {}

    def envelope(self) -> dict[str, dict[str, str | None]]:
        """The body, of at most 2,000 bytes; the same in a stream and in a whole response."""
        detail = {
            "message": _cut(self.message, _MAX_MESSAGE_BYTES),
            "type": self.type,
            "param": None if self.param is None else _cut(self.param, _MAX_PARAM_BYTES),
            "code": self.code,
        }
        return {"error": detail}

    def json(self) -> str:
        """The body in ASCII, so that no character of a client's input breaks a stream's frame."""
        return json.dumps(self.envelope())

    def response(self) -> Response:
        """The body with its status and headers. The request's record gets the error's code."""
        record = current_record()
        if record is not None:
            record.error = self.code or self.type
        return Response(
            self.json(),
            status_code=self.status,
            headers=self.headers,
            media_type="application/json",
        )


class ClientDisconnectedError(Exception):
    """The client closed its connection before the response."""


def unavailable(message: str, *, code: str, retry: bool = True) -> ApiError:
    """A 503. `retry` False: this process cannot recover by itself."""
    headers = {} if retry else dict(NO_RETRY)
    return ApiError(503, message, type="service_unavailable_error", code=code, headers=headers)


def overloaded(message: str) -> ApiError:
    """A 503 because of what other clients do."""
    error = unavailable(message, code="server_is_overloaded")
    error.headers |= {"Retry-After": "1"}
    return error


def shutting_down() -> ApiError:
    """A 503 during a requested stop. A retry may reach the next server."""
    error = unavailable("The server is shutting down.", code="shutting_down")
    error.headers |= {"Connection": "close"}
    return error


def model_not_found(name: str) -> ApiError:
    """A 404 with the first 100 characters of the model's name."""
    return ApiError(
        404, f"The model {name[:100]!r} does not exist.", param="model", code="model_not_found"
    )


def to_api_error(error: Exception) -> ApiError:
    """The response to an exception. Its message is shown only if it is meant for clients."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestError):
        return ApiError(400, str(error), param=error.param, code=error.code)
    if isinstance(error, QueueFullError):
        retry_after = {"Retry-After": str(max(1, int(error.retry_after_s)))}
        return ApiError(
            429, str(error), type="rate_limit_error", code="queue_full", headers=retry_after
        )
    if isinstance(error, EngineClosedError):
        return shutting_down()
    if isinstance(error, EngineDeadError):
        message = "The engine crashed. The server cannot serve requests until it is restarted."
        return unavailable(message, code="engine_dead", retry=False)
    if isinstance(error, ValidationError | RequestValidationError):
        message, param = describe_validation_error(error)
        return ApiError(400, message, param=param)
    if isinstance(error, NoTokenError):
        return ApiError(400, str(error), code="no_token_allowed")
    if isinstance(error, NotFiniteError):  # the engine has logged it
        headers = dict(NO_RETRY)  # the same request fails again
        return ApiError(
            500, str(error), type="server_error", code="numbers_not_finite", headers=headers
        )
    return ApiError(
        500,
        "The server had an internal error. Its log has the details.",
        type="server_error",
        code="internal_error",
        headers=dict(NO_RETRY),
    )


def install_handlers(app: FastAPI) -> None:
    """Respond to every exception of a route, and of routing itself, with the envelope."""

    async def respond(_: Request, error: Exception) -> Response:
        api_error = to_api_error(error)
        if api_error.code == "internal_error":
            logger.error("internal error", exc_info=error)
        return api_error.response()

    for kind in (ApiError, QStarError, RequestValidationError, ValidationError):
        app.add_exception_handler(kind, respond)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnectedError, _client_closed_request)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"[:_MAX_URL_CHARS]
    messages = {404: f"There is nothing at {where}.", 405: f"{where}: the method is not allowed."}
    message = messages.get(error.status_code, str(error.detail))
    headers: dict[str, Any] = dict(error.headers) if error.headers is not None else {}
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return ApiError(error.status_code, message, headers=headers).response()


def _allowed_methods(request: Request) -> list[str]:
    """The methods of all routes of a path; Starlette names only those of the first one."""
    found = [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
    return sorted([*found, "HEAD"] if "GET" in found else found)


async def _client_closed_request(_: Request, __: Exception) -> Response:
    # 499 is the status that proxies log for this case; no client sees it.
    return Response(status_code=499)


def describe_validation_error(
    error: ValidationError | RequestValidationError,
) -> tuple[str, str | None]:
    """A message that lists the first failures, and the name of the first field at fault."""
    failures = _failures(error)
    first = failures[0]["loc"] if failures else ()
    param = str(first[0])[:_MAX_PLACE_CHARS] if first else None
    lines: list[str] = []
    num_chars = 0
    for failure in failures:
        line = _line(failure)
        num_chars += len(line)
        if lines and num_chars > _MAX_LINES_CHARS:
            lines.append(f"and {len(failures) - len(lines)} more")
            break
        lines.append(line)
    return "; ".join(lines), param


def shown(value: object) -> str:
    """At most `_MAX_INPUT_CHARS` characters of a rejected value, enough to recognise it.

    Takes no longer for a value of a million parts.
    """
    text = _REPR.repr(value)
    return text if len(text) <= _MAX_INPUT_CHARS else text[: _MAX_INPUT_CHARS - 3] + "..."


def _cut(text: str, max_bytes: int) -> str:
    """The text, cut to what has at most so many bytes as ASCII JSON."""
    text = text[:max_bytes]
    if len(json.dumps(text)) - 2 <= max_bytes:
        return text
    num_bytes = accumulate(len(json.dumps(character)) - 2 for character in text)
    return text[: bisect_right(list(num_bytes), max_bytes - 3)] + "..."


def _failures(error: ValidationError | RequestValidationError) -> Sequence[Any]:
    if isinstance(error, ValidationError):
        return error.errors(include_url=False, include_context=False)
    return error.errors()


def _line(failure: Any) -> str:
    place = ".".join(str(part) for part in failure["loc"])[:_MAX_PLACE_CHARS]
    message = str(failure["msg"]).removeprefix("Value error, ")
    if not place:  # about the whole
        return message
    # The input of a missing field is the whole body; that of a value error may be a prompt.
    if failure["type"] in ("missing", "value_error"):
        return f"{place}: {message}"
    return f"{place}: {message}, got {shown(failure['input'])}"
