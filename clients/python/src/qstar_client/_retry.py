"""Decides whether to retry a failed attempt, and after which delay. Pure functions.

A generation is expensive and not idempotent. Therefore it is retried only after failures that
cannot have started one: no connection was made, or the server turned the request away (408, 409,
429, 503). Other requests are retried after any failure of the connection or the server.
The header x-should-retry is the server's own word, and decides.
"""

import math
from email.utils import parsedate_to_datetime

import httpx

_TURNED_AWAY = frozenset({408, 409, 429, 503})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PASSING = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)

_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 8.0
_MAX_RETRY_AFTER_S = 60.0
_JITTER_SHARE = 0.25


def should_retry(outcome: httpx.Response | Exception, *, is_repeatable: bool = False) -> bool:
    """Whether to send a request again.

    Args:
        outcome: the response or the error of the attempt.
        is_repeatable: whether the request starts no generation, so that it can be sent twice.
    """
    if isinstance(outcome, Exception):
        return isinstance(outcome, _PASSING if is_repeatable else _NEVER_SENT)
    if outcome.is_success:
        return False
    advice: str = outcome.headers.get("x-should-retry", "").strip().lower()
    if advice in ("true", "false"):
        return advice == "true"
    if is_repeatable and outcome.is_server_error:
        return True
    return outcome.status_code in _TURNED_AWAY


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


def parse_retry_after(headers: httpx.Headers, *, now_s: float) -> float | None:
    """Seconds until the time in Retry-After; None if it is absent, malformed or negative.

    Args:
        now_s: Unix time. The header may be a date, for example from a proxy; a past one is 0.
    """
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
        except (ValueError, OverflowError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0.0 else None
