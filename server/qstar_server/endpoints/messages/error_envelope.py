"""Errors as Anthropic's clients read them: `{"type": "error", "error": {type, message}}`."""

import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qstar_server.http.errors import ApiError

_PATH = "/v1/messages"
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}


def error_envelope(error: ApiError) -> dict[str, Any]:
    """The body, or the event of a stream."""
    detail = error.envelope()["error"]
    return _envelope(error.status, str(detail["message"]), param=detail["param"])


class MessagesErrorMiddleware:
    """Rewrites every error on the paths of this endpoint, whoever answers it, to Anthropic's form.

    So keys, hosts, sizes and unknown methods are checked in one place for all endpoints. Responses
    also get the header `request-id`, which Anthropic's clients read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not _is_ours(scope["path"]):
            await self._app(scope, receive, send)
            return
        request_id = scope.get("state", {}).get("request_id")
        start: Message | None = None
        parts: list[bytes] = []

        async def rewriting_send(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if request_id is not None:
                    MutableHeaders(scope=message)["request-id"] = request_id
                if message["status"] >= 400:
                    start = message
                    return
            if start is None:
                await send(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                body = _rewritten(b"".join(parts), start["status"], request_id)
                MutableHeaders(scope=start)["content-length"] = str(len(body))
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, rewriting_send)


def _is_ours(path: str) -> bool:
    return path == _PATH or path.startswith(_PATH + "/")


def _rewritten(body: bytes, status: int, request_id: str | None) -> bytes:
    if not body:  # the answer to HEAD
        return body
    content = json.loads(body)
    if "type" in content:  # passed on from a replica, which has rewritten it
        return body
    detail = content["error"]
    envelope = _envelope(status, detail["message"], param=detail["param"])
    return json.dumps(envelope | {"request_id": request_id}).encode()


def _envelope(status: int, message: str, *, param: str | None) -> dict[str, Any]:
    # Anthropic's form has no place for the field's name but the message.
    text = message if param is None or param in message else f"{param}: {message}"
    return {
        "type": "error",
        "error": {"type": _TYPES.get(status, _default(status)), "message": text},
    }


def _default(status: int) -> str:
    return "invalid_request_error" if status < 500 else "api_error"
