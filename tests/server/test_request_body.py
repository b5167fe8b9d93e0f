"""A body that is too large or does not come must not hold its connection."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from qstar_server.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server
from tests.server.wire import body, error_of

URL = "/v1/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture
def hurried(engine: FakeEngine) -> Iterator[LiveServer]:
    limits = ServerConfig(body_timeout_s=0.3, max_body_bytes=1000, drain_grace_s=0)
    server = start_server(engine, limits)
    yield server
    server.stop()


def answer(live: LiveServer, *headers: str, sent: bytes = b"") -> tuple[str, dict[str, str]]:
    """Status line and error; the connection must be closed, though the body is not whole."""
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += "".join(f"{header}\r\n" for header in headers)
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as connection:
        connection.sendall(f"{head}\r\n".encode() + sent)
        received = b""
        while part := connection.recv(65536):
            received += part
    head_bytes, _, text = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head_bytes.lower()
    return head_bytes.decode().splitlines()[0], json.loads(text)["error"]


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("Content-Length: 100", b""),
        ("Content-Length: 100", b"{"),
        ("Transfer-Encoding: chunked", b"1\r\n{\r\n"),
    ],
)
def test_a_body_that_does_not_arrive_is_408_and_closes(
    hurried: LiveServer, header: str, sent: bytes
) -> None:
    status, error = answer(hurried, header, sent=sent)
    assert status.startswith("HTTP/1.1 408 ")
    assert (error["code"], error["type"]) == ("request_timeout", "invalid_request_error")
    assert "0.3 seconds" in error["message"]


@pytest.mark.parametrize("length", ["16000001", "9" * 19])
def test_a_declared_length_too_large_to_swallow_is_413_at_once(
    live: LiveServer, length: str
) -> None:
    status, error = answer(live, f"Content-Length: {length}")
    assert status.startswith("HTTP/1.1 413 ")
    assert error["code"] == "request_too_large"


def test_an_undeclared_body_above_the_limit_is_413(hurried: LiveServer) -> None:
    response = httpx.post(f"{hurried.url}{URL}", content=iter([b" " * 700] * 3), headers=JSON)
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


def test_a_body_as_large_as_the_limit_is_read(hurried: LiveServer) -> None:
    raw = json.dumps(body(max_tokens=1)).encode().ljust(1000)
    assert httpx.post(f"{hurried.url}{URL}", content=raw, headers=JSON).status_code == 200


def test_a_client_that_writes_before_it_reads_still_reads_its_413(live: LiveServer) -> None:
    """A slow one once read a reset: the body was refused by its declared length, unread."""
    raw = json.dumps(body(prompt="x" * 3_000_000)).encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode())
        time.sleep(0.2)
        connection.sendall(raw)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
