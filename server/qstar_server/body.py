"""Reads a JSON body: bounded in size, strict in form, off the event loop where it is large."""

import anyio.to_thread
from fastapi import Request
from pydantic_core import from_json

from qstar_server.errors import ApiError

_INLINE_BYTES = 32_768
# A client writes its whole body before it reads. Swallowing somewhat more than the limit lets it
# read the refusal instead of a broken pipe.
_DRAIN_FACTOR = 8


async def read_json_object(request: Request, *, max_bytes: int) -> dict[str, object]:
    """The body as a JSON object.

    Raises:
        ApiError: 415 for another content type, 413 for too large a body, 400 for anything that is
            not a JSON object (NaN and Infinity are not JSON).
    """
    _check_content_type(request)
    raw = await _read(request, max_bytes)
    if len(raw) <= _INLINE_BYTES:
        return _parse(raw)
    return await anyio.to_thread.run_sync(_parse, raw)


def _check_content_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise ApiError(
            415,
            "The body must be JSON with the header Content-Type: application/json.",
            code="unsupported_media_type",
        )


async def _read(request: Request, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= max_bytes:
            parts.append(part)
        elif size > max_bytes * _DRAIN_FACTOR:
            break
    if size > max_bytes:
        raise ApiError(413, f"The body is larger than {max_bytes} bytes.", code="request_too_large")
    return b"".join(parts)


def _parse(raw: bytes) -> dict[str, object]:
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        message = f"The body is not valid JSON: {error}"
        raise ApiError(400, message, code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_json")
    return value
