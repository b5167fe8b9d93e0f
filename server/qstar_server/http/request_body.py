"""Reads a request's JSON body: bounded in size and time, strict in form.

A large body is parsed outside the event loop.
"""

import anyio
from fastapi import Request
from jiter import from_json

from qstar_server.http.errors import ApiError
from qstar_server.http.intake import in_intake

_INLINE_BYTES = 32_768
# A client writes its whole body before it reads the answer. Reading somewhat more than the limit
# lets it see the 413 instead of a broken pipe.
_DRAIN_FACTOR = 8
# The rest of the body may still arrive; it must not be read as the next request.
_CLOSE = {"Connection": "close"}


async def read_json_object(
    request: Request, *, max_bytes: int, timeout_s: float
) -> dict[str, object]:
    """The body as a JSON object.

    Raises:
        ApiError: 415 for another content type or an encoded body, 413 for a body that is too large,
            408 for one that does not arrive in time, 400 for anything that is not a JSON object
            (NaN and Infinity are not JSON) and for an object with the same key twice.
    """
    _check_content_type(request)
    _check_content_encoding(request)
    raw = await read_body(request, max_bytes=max_bytes, timeout_s=timeout_s)
    if len(raw) <= _INLINE_BYTES:
        return _parse(raw)
    return await in_intake(_parse, raw)


async def read_body(request: Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """The body as it came.

    Raises:
        ApiError: 413 for a body that is too large, 408 for one that does not arrive in time.
    """
    _check_declared_length(request, max_bytes)
    try:
        with anyio.fail_after(timeout_s):
            return await _read(request, max_bytes)
    except TimeoutError:
        message = f"The body did not arrive within {timeout_s:g} seconds."
        raise ApiError(408, message, code="request_timeout", headers=_CLOSE) from None


def _check_content_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise ApiError(
            415,
            "The body must be JSON with the header Content-Type: application/json.",
            code="unsupported_media_type",
        )


def _check_content_encoding(request: Request) -> None:
    """A compressed body is never decompressed: a few bytes could become gigabytes."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ApiError(
            415,
            f"The body has the Content-Encoding {encoding[:40]!r}; send it without an encoding.",
            code="unsupported_media_type",
            headers={"Accept-Encoding": "identity"},
        )


def _check_declared_length(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    # A body that is only somewhat too large is read first, then refused. More than twenty digits
    # exceed any limit and would take long to convert.
    if declared.isdecimal() and int(declared[:20]) > max_bytes * _DRAIN_FACTOR:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> ApiError:
    message = f"The body is larger than {max_bytes} bytes."
    return ApiError(413, message, code="request_too_large", headers=_CLOSE)


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
        raise _too_large(max_bytes)
    return b"".join(parts)


def _parse(raw: bytes) -> dict[str, object]:
    try:
        # Of two equal keys one would be ignored, and which one differs from parser to parser.
        value = from_json(raw, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        reason = "it has NaN or Infinity as a number" if _has_nan(raw) else str(error)
        message = f"The body is not valid JSON: {reason}"
        raise ApiError(400, message, code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_json")
    return value


def _has_nan(raw: bytes) -> bool:
    """Whether NaN and infinity are all that keeps a body from being JSON."""
    try:
        from_json(raw, allow_inf_nan=True, catch_duplicate_keys=True)
    except ValueError:
        return False
    return True
