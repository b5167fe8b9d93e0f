"""From answers to exceptions: class, fields, text."""

import pickle

import httpx
import pytest

import qstar_client
from qstar_client import APIStatusError, BadRequestError, QStarClientError, RateLimitError
from qstar_client._answers import status_error

CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "ServerError",
    502: "ServerError",
    503: "ServiceUnavailableError",
    302: "APIStatusError",
    405: "APIStatusError",
    422: "APIStatusError",
}


@pytest.mark.parametrize(("status", "name"), CLASSES.items())
def test_each_status_has_its_class(status: int, name: str) -> None:
    error = status_error(httpx.Response(status, json={}))
    assert type(error).__name__ == name
    assert error.status_code == status


def test_the_error_object_becomes_attributes() -> None:
    body = {
        "error": {
            "message": "max_tokens must be an integer",
            "type": "invalid_request_error",
            "param": "max_tokens",
            "code": None,
        }
    }
    error = status_error(httpx.Response(400, json=body, headers={"x-request-id": "req-7"}))
    assert isinstance(error, BadRequestError)
    assert str(error) == "max_tokens must be an integer (HTTP 400)"
    assert error.message == "max_tokens must be an integer"
    assert (error.param, error.code, error.request_id) == ("max_tokens", None, "req-7")
    assert error.body == body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"error": "m"}', "m"),
        (b'{"message": "m"}', "m"),
        (b'"m"', "m"),
        (b"m\n", "m"),
        (b"x" * 1000, "x" * 200),
        (b"", "Bad Gateway"),
        (b"[]", "Bad Gateway"),
        (b'{"error": null}', "Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_any_body_gives_a_message(content: bytes, message: str) -> None:
    assert status_error(httpx.Response(502, content=content)).message == message


def test_a_numeric_code_becomes_text() -> None:
    response = httpx.Response(400, json={"error": {"message": "m", "code": 400}})
    assert status_error(response).code == "400"


@pytest.mark.parametrize(("header", "expected"), [("90", 90.0), ("nan", None)])
def test_rate_limit_says_when_to_return(header: str, expected: float | None) -> None:
    error = status_error(httpx.Response(429, headers={"retry-after": header}))
    assert isinstance(error, RateLimitError)
    assert error.retry_after_s == expected


def test_errors_survive_pickling() -> None:
    """Errors raised in a worker process must reach its parent."""
    error = status_error(httpx.Response(429, json={"error": "m"}, headers={"retry-after": "2"}))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (RateLimitError, str(error), vars(error))
    assert copy.retry_after_s == 2.0


def test_every_error_is_caught_by_the_base() -> None:
    errors = [
        value
        for value in vars(qstar_client).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert len(errors) == 13
    assert all(issubclass(error, QStarClientError) for error in errors)
    assert issubclass(qstar_client.APITimeoutError, qstar_client.APIConnectionError)
    assert issubclass(qstar_client.ServiceUnavailableError, qstar_client.ServerError)
    assert not issubclass(qstar_client.StreamError, APIStatusError)
