"""A body that is too large or does not come must not hold its connection."""

import gzip
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

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


@pytest.mark.parametrize(
    "sent", [b"0\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n"]
)
def test_two_lengths_are_400_and_close(live: LiveServer, sent: bytes) -> None:
    """What follows such a request must not be read as the next one."""
    status, error = answer(live, "Content-Length: 5", "Transfer-Encoding: chunked", sent=sent)
    assert status.startswith("HTTP/1.1 400 ")
    assert "Content-Length and Transfer-Encoding" in error["message"]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
async def test_an_encoded_body_is_415(client: httpx.AsyncClient, encoding: str) -> None:
    """It was "not valid JSON"; to decompress it would let a few bytes become gigabytes."""
    raw = gzip.compress(json.dumps(body()).encode())
    headers = JSON | {"content-encoding": encoding}
    response = await client.post(URL, content=raw, headers=headers)
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "identity"
    error = error_of(response)
    assert (error["code"], encoding.lower() in error["message"]) == ("unsupported_media_type", True)


async def test_an_identity_encoding_is_none(client: httpx.AsyncClient) -> None:
    headers = {"content-encoding": "identity"}
    assert (await client.post(URL, json=body(), headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model": "fake/thinker", "prompt": "A", "n": 1, "n": 2}',
        b'{"model": "fake/thinker", "prompt": "A", "prompt": "B"}',
        b'{"model": "fake/thinker", "prompt": "A", "stream_options": {"x": 1, "\\u0078": 2}}',
    ],
)
async def test_a_key_twice_is_400(client: httpx.AsyncClient, raw: bytes) -> None:
    """The last one counted, without a word; a proxy that checks a limit may read the first."""
    response = await client.post(URL, content=raw, headers=JSON)
    assert response.status_code == 400
    assert "duplicate key" in error_of(response)["message"]
