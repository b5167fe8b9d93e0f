"""Answers a request for a file of the page: headers, caching, and what the page may do."""

from starlette.datastructures import Headers
from starlette.responses import Response

from qstar_server.playground.bundle import PageFile, bundle

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script or style, no other host, no frame around the page."""

_SAFETY = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_MUST_ASK = "no-cache"
"""A browser may keep the page, but asks before each use whether it has changed."""
_NEVER_CHANGES = "public, max-age=31536000, immutable"


def page_response(path: str, headers: Headers) -> Response | None:
    """The response to a GET of a file of the page; None if the page has no such file.

    Only whole paths that the bundle lists are found, so no path leads out of it.

    Args:
        path: of the address, decoded.
        headers: of the request.
    """
    file = bundle().get(path)
    if file is None:
        return None
    caching = {
        "Cache-Control": _NEVER_CHANGES if file.is_immutable else _MUST_ASK,
        "ETag": file.etag,
    }
    if _is_known(headers.get("if-none-match"), file):
        return Response(status_code=304, headers=caching | _SAFETY)
    # As a header of its own, because `media_type` would add a second charset to some types.
    kind = {"Content-Type": file.media_type}
    return Response(file.content, headers=kind | caching | _SAFETY)


def _is_known(if_none_match: str | None, file: PageFile) -> bool:
    """Whether the client has these bytes already (RFC 9110, 13.1.2: the weak comparison)."""
    if if_none_match is None:
        return False
    given = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in given or file.etag in given
