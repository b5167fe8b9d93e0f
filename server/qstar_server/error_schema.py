"""Errors in `/openapi.json`: which statuses a route answers with, all in one envelope."""

from typing import Any

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    """One or two sentences for a person."""
    type: str
    """OpenAI's error family, e.g. `invalid_request_error`."""
    param: str | None
    """The request field at fault."""
    code: str | None
    """A machine-readable reason."""


class ErrorEnvelope(BaseModel):
    """The body of every answer other than success, as `ApiError` writes it."""

    error: ErrorDetail


_MEANINGS = {
    400: "The request is malformed, out of range, too long or asks for what is not supported.",
    403: "The operator forbids it.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    429: "The queue is full; Retry-After says in how many seconds to come again.",
    503: "The model is loading, the server is shutting down, or the engine has stopped.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a router or a route that answers with these errors, and with a 500."""
    described = {status: _MEANINGS[status] for status in statuses}
    # The default also keeps FastAPI from adding its own 422, which this server never sends.
    others = {"default": "Any other error; one of the server itself is a 500."}
    return {
        status: {"model": ErrorEnvelope, "description": meaning}
        for status, meaning in (described | others).items()
    }
