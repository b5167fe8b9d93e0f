"""Errors in `/openapi.json`: the error statuses of a route, all with the same envelope."""

from typing import Any

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    """One or two sentences for a human reader."""
    type: str
    """OpenAI's error family, e.g. `invalid_request_error`."""
    param: str | None
    """The request field at fault."""
    code: str | None
    """A machine-readable reason."""


class ErrorEnvelope(BaseModel):
    """The body of every response other than success, as `ApiError` writes it."""

    error: ErrorDetail


_MEANINGS = {
    400: "The request is malformed, out of range, too long or uses an unsupported feature.",
    401: "The API key is missing or not valid.",
    403: "The operator forbids it, or the Host header is not one of this server.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    429: "The queue is full, or the API key has as many requests open as it may; retry after the "
    "seconds in Retry-After.",
    503: "The model is loading, the server is overloaded or shutting down, or the engine crashed.",
    504: "The response was not finished in time.",
}


_ANYWHERE = (401, 403, 429, 503)
"""Statuses of any route: API key, Host header, open requests of a key, overload."""


def error_responses(*statuses: int, needs_key: bool = True) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a router or route with these error statuses, and a 500."""
    all_statuses = sorted({*statuses, *(_ANYWHERE if needs_key else (403, 503))})
    described = {status: _MEANINGS[status] for status in all_statuses}
    # The default also stops FastAPI from adding its own 422, which this server never sends.
    others = {"default": "Any other error; an internal error is a 500."}
    return {
        status: {"model": ErrorEnvelope, "description": meaning}
        for status, meaning in (described | others).items()
    }
