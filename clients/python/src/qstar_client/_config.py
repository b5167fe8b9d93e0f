"""Configuration of a client: arguments first, then environment variables, then defaults."""

import os
from dataclasses import dataclass, field

import httpx

from qstar_client._version import __version__

DEFAULT_BASE_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 5.0
HEALTH_TIMEOUT_S = 5.0
_MAX_TIMEOUT_S = 366 * 24 * 3600.0
"""The system's timers cannot hold very large numbers."""

Timeout = float | httpx.Timeout
"""Seconds to wait for the next bytes (at most 5 s for connecting), or an `httpx.Timeout`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Resolved and checked configuration of a client."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout: httpx.Timeout
    max_retries: int

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        headers = {"user-agent": f"qstar-client/{__version__}"}
        if self.api_key is not None:
            headers["authorization"] = f"Bearer {self.api_key}"
        return headers


def resolve_config(
    *, base_url: str | None, api_key: str | None, timeout: Timeout, max_retries: int
) -> ClientConfig:
    """Fill in QSTAR_BASE_URL and QSTAR_API_KEY, and check all values.

    Raises:
        ValueError: a value is invalid. The message never contains the key.
    """
    if base_url is None:
        base_url = os.environ.get("QSTAR_BASE_URL") or DEFAULT_BASE_URL
    if api_key is None:
        api_key = os.environ.get("QSTAR_API_KEY")
    if max_retries < 0:
        raise ValueError(f"max_retries must be at least 0, got {max_retries}")
    return ClientConfig(
        base_url=_checked_base_url(base_url),
        api_key=_checked_api_key(api_key),
        timeout=to_httpx_timeout(timeout),
        max_retries=max_retries,
    )


def to_httpx_timeout(timeout: Timeout) -> httpx.Timeout:
    """Convert a number to limits of each wait; connecting is limited to 5 s.

    Raises:
        ValueError: the number is not positive, or more than a year.
    """
    if isinstance(timeout, httpx.Timeout):
        return timeout
    if not 0 < timeout <= _MAX_TIMEOUT_S:
        raise ValueError(
            f"timeout must be a positive number of seconds, at most a year, got {timeout}; "
            "httpx.Timeout(None) waits without a limit"
        )
    return httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT_S))


def _checked_base_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url is not a URL: {error}") from None
    if url.userinfo:
        # httpx logs URLs, and a password must not get into logs.
        raise ValueError("base_url must not contain a user name or password; use api_key")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"base_url must look like {DEFAULT_BASE_URL}, got {base_url!r}")
    if url.query or url.fragment:
        raise ValueError(f"base_url must end with its path, without ? and #, got {base_url!r}")
    # OpenAI clients need /v1 in their base URL; the same value must work here.
    return base_url.rstrip("/").removesuffix("/v1")


def _checked_api_key(api_key: str | None) -> str | None:
    api_key = (api_key or "").strip()
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        # Checked here because the message of the HTTP library would quote the key.
        raise ValueError("api_key must be printable ASCII without spaces")
    return api_key or None
