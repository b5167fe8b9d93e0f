"""The retry policy as tables."""

import httpx
import pytest

from qstar_client._retry import parse_retry_after, retry_delay, should_retry

NOW_S = 1735689600.0
"""2025-01-01 00:00:00 GMT."""
STATUSES = [(status, status in (408, 409)) for status in (200, 301, 400, 401, 403, 404, 408, 409)]
STATUSES += [(429, True), (500, False), (502, False), (503, True), (504, False), (529, False)]


@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_only_statuses_that_turn_a_request_away_are_retried(status: int, expected: bool) -> None:
    assert should_retry(httpx.Response(status)) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [("false", False), ("False ", False), ("true", True), ("", True), ("no", True)],
)
def test_the_server_can_stop_retries(header: str, expected: bool) -> None:
    response = httpx.Response(503, headers={"x-should-retry": header})
    assert should_retry(response) is expected


def test_the_server_can_ask_for_a_retry() -> None:
    """Only the server knows whether it began."""
    assert should_retry(httpx.Response(500, headers={"x-should-retry": "true"}))
    assert not should_retry(httpx.Response(200, headers={"x-should-retry": "true"}))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (httpx.Response(500), True),
        (httpx.Response(504), True),
        (httpx.Response(429), True),
        (httpx.Response(500, headers={"x-should-retry": "false"}), False),
        (httpx.Response(404), False),
        (httpx.ReadTimeout(""), True),
        (httpx.ReadError(""), True),
        (httpx.RemoteProtocolError(""), True),
        (httpx.UnsupportedProtocol(""), False),
    ],
)
def test_what_starts_no_generation_is_retried_after_any_failure(
    outcome: httpx.Response | Exception, expected: bool
) -> None:
    assert should_retry(outcome, is_repeatable=True) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError, True),
        (httpx.ConnectTimeout, True),
        (httpx.PoolTimeout, True),
        (httpx.ReadTimeout, False),
        (httpx.WriteTimeout, False),
        (httpx.ReadError, False),
        (httpx.WriteError, False),
        (httpx.RemoteProtocolError, False),
        (httpx.UnsupportedProtocol, False),
    ],
)
def test_only_connections_never_made_are_retried(
    error: type[httpx.RequestError], expected: bool
) -> None:
    assert should_retry(error("")) is expected


@pytest.mark.parametrize(
    ("num_failures", "jitter", "expected"),
    [
        (1, 0.0, 0.5),
        (2, 0.0, 1.0),
        (3, 0.0, 2.0),
        (5, 0.0, 8.0),
        (6, 0.0, 8.0),
        (100_000, 0.0, 8.0),
        (1, 1.0, 0.375),
        (5, 0.5, 7.0),
    ],
)
def test_delay_doubles_to_a_cap(num_failures: int, jitter: float, expected: float) -> None:
    assert retry_delay(num_failures, retry_after_s=None, jitter=jitter) == expected


@pytest.mark.parametrize(
    ("retry_after_s", "expected"), [(0.0, 0.0), (7.0, 7.0), (60.0, 60.0), (3600.0, 60.0)]
)
def test_delay_obeys_the_server_up_to_a_minute(retry_after_s: float, expected: float) -> None:
    assert retry_delay(3, retry_after_s=retry_after_s, jitter=0.9) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 1.5 ", 1.5),
        ("3600", 3600.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 01 Jan 2025 00:00:05 GMT", 5.0),
        ("Wed, 32 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(header: str, expected: float | None) -> None:
    assert parse_retry_after(httpx.Headers({"retry-after": header}), now_s=NOW_S) == expected


def test_retry_after_may_be_absent() -> None:
    assert parse_retry_after(httpx.Headers(), now_s=NOW_S) is None
