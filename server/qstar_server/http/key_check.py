"""Middleware that lets only holders of an API key in, each with so many requests at a time."""

from collections import Counter
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qstar_server.generation.tenants import current_tenant
from qstar_server.http.errors import NO_RETRY, ApiError
from qstar_server.http.keys import KeyRing


class KeyCheckMiddleware:
    """Answers 401 without a valid key, before the body is read, and 429 above the key's limit.

    The connection stays open: a client that is still sending its body would otherwise see a reset
    instead of the answer. What it sends is dropped, for a limited time (`HttpConnection`).

    The key stands in `Authorization: Bearer KEY` or, as Anthropic's clients send it, in
    `x-api-key: KEY`. The open paths need none. `scope["state"]["key_name"]` and `current_tenant`
    name the key for what follows.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyRing,
        max_requests_per_key: int | None,
        open_paths: Collection[str],
    ) -> None:
        """
        Args:
            max_requests_per_key: most requests of a key at the same time; a request counts until
                the last byte of its response is written. None is no limit.
            open_paths: whole paths that need no key.
        """
        self._app = app
        self._keys = keys
        self._max_requests = max_requests_per_key
        self._open_paths = frozenset(open_paths)
        self._open_requests: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        given = _key_in(Headers(scope=scope))
        name = None if given is None else self._keys.name_of(given)
        if name is None:
            await _unauthorized(given).response()(scope, receive, send)
        elif self._max_requests is not None and self._open_requests[name] >= self._max_requests:
            await _too_many(self._max_requests).response()(scope, receive, send)
        else:
            await self._serve(name, scope, receive, send)

    async def _serve(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["key_name"] = name
        is_open = True
        self._open_requests[name] += 1

        def end() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self._open_requests[name] -= 1

        # The client may send its next request before this one's handler has returned.
        async def send_until_end(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                end()

        token = current_tenant.set(name)
        try:
            await self._app(scope, receive, send_until_end)
        finally:
            current_tenant.reset(token)
            end()


def _key_in(headers: Headers) -> bytes | None:
    """The key that a request gives; None if it gives none."""
    scheme, _, key = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        key = headers.get("x-api-key", "")
    # Starlette decodes headers as Latin-1, so that any byte can come back.
    return key.strip().encode("latin-1") or None


def _unauthorized(given: bytes | None) -> ApiError:
    wrong = "This API key is not valid." if given is not None else "This server needs an API key."
    return ApiError(
        401,
        f"{wrong} Send one of its keys in the header Authorization: Bearer KEY.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"} | NO_RETRY,
    )


def _too_many(limit: int) -> ApiError:
    return ApiError(
        429,
        f"This API key has {limit} requests open, which is its limit. Wait until one has ended.",
        type="rate_limit_error",
        code="too_many_requests",
        headers={"Retry-After": "1"},
    )
