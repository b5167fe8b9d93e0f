"""Errors of `/v1/messages` in `/openapi.json`."""

from typing import Any, Literal

from pydantic import BaseModel

from qstar_server.http.error_schema import error_responses


class MessagesErrorDetail(BaseModel):
    """What went wrong."""

    type: str
    """Anthropic's error family, e.g. `invalid_request_error`."""
    message: str
    """One or two sentences for a human reader."""


class MessagesErrorEnvelope(BaseModel):
    """The body of every response other than success, as `error_envelope` writes it."""

    type: Literal["error"]
    error: MessagesErrorDetail
    request_id: str | None


def messages_error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route with these error statuses, and a 500."""
    return {
        status: entry | {"model": MessagesErrorEnvelope}
        for status, entry in error_responses(*statuses).items()
    }
