"""When a failed attempt may be repeated, and after how long. Pure: no clock, no randomness.

A generation is expensive and not idempotent, so only failures that cannot have started one are
repeated: the connection was never made, or the server turned the request away (429, 503).
"""

import math

import httpx

_TURNED_AWAY = frozenset({429, 503})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 8.0
_MAX_RETRY_AFTER_S = 60.0
_JITTER_SHARE = 0.25


def should_retry(outcome: httpx.Response | Exception) -> bool:
    """Whether this attempt certainly started no generation and another may succeed."""
    if isinstance(outcome, Exception):
        return isinstance(outcome, _NEVER_SENT)
    if outcome.headers.get("x-should-retry", "").strip().lower() == "false":
        return False
    return outcome.status_code in _TURNED_AWAY


def retry_delay(num_failures: int, *, retry_after_s: float | None, jitter: float) -> float:
    """Seconds to wait before the next attempt.

    Args:
        num_failures: failed attempts so far, at least 1.
        retry_after_s: what the server asked for, or None; obeyed up to 60 s.
        jitter: in [0, 1); takes up to a quarter off the exponential delay, so that clients
            which failed together do not return together.
    """
    if retry_after_s is not None:
        return min(retry_after_s, _MAX_RETRY_AFTER_S)
    doublings = min(num_failures - 1, 10)  # bounded before the power, which would overflow
    delay_s = min(_FIRST_DELAY_S * 2.0**doublings, _MAX_DELAY_S)
    return delay_s * (1.0 - _JITTER_SHARE * jitter)


def parse_retry_after(headers: httpx.Headers) -> float | None:
    """The Retry-After header in seconds; None where absent, a date, negative or not finite."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0.0 else None
