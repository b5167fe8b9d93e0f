"""Decides whether to retry a failed attempt, and after which delay. Pure functions.

A generation is expensive and not idempotent. Therefore only failures that cannot have started one
are retried: no connection was made, or the server rejected the request with 429 or 503.
"""

import math

import httpx

_RETRIED_STATUSES = frozenset({429, 503})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 8.0
_MAX_RETRY_AFTER_S = 60.0
_JITTER_SHARE = 0.25


def should_retry(outcome: httpx.Response | Exception) -> bool:
    """Whether the attempt cannot have started a generation, so that a retry is safe."""
    if isinstance(outcome, Exception):
        return isinstance(outcome, _NEVER_SENT)
    if outcome.headers.get("x-should-retry", "").strip().lower() == "false":
        return False
    return outcome.status_code in _RETRIED_STATUSES


def retry_delay(num_failures: int, *, retry_after_s: float | None, jitter: float) -> float:
    """Seconds to wait before the next attempt.

    Args:
        num_failures: failed attempts so far, at least 1.
        retry_after_s: the delay that the server asks for, or None; limited to 60 s.
        jitter: in [0, 1); shortens the exponential delay by up to a quarter, so that clients that
            failed at the same time do not retry at the same time.
    """
    if retry_after_s is not None:
        return min(retry_after_s, _MAX_RETRY_AFTER_S)
    doublings = min(num_failures - 1, 10)  # limited, because the power could overflow
    delay_s = min(_FIRST_DELAY_S * 2.0**doublings, _MAX_DELAY_S)
    return delay_s * (1.0 - _JITTER_SHARE * jitter)


def parse_retry_after(headers: httpx.Headers) -> float | None:
    """The Retry-After header in seconds; None if absent, a date, negative or not finite."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0.0 else None
