"""Connections that send nothing, half a request, or do not read: none may hold the server."""

import contextlib
import dataclasses
import json
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.raw_http import connect, read_to_end, request_bytes
from tests.server.served_process import serve, url_of, with_max_files
from tests.server.wire import body, chunks_of, error_of

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def hurried(engine: FakeEngine) -> Iterator[LiveServer]:
    engine.model = dataclasses.replace(engine.model, max_model_len=10**6)
    limits = ServerConfig(
        header_timeout_s=0.4, send_timeout_s=0.5, keep_alive_timeout_s=0.3, drain_grace_s=0
    )
    server = start_server(engine, limits)
    yield server
    server.stop()


@pytest.fixture
def narrow(engine: FakeEngine) -> Iterator[LiveServer]:
    """A server with room for five connections."""
    server = start_server(engine, ServerConfig(max_connections=5, drain_grace_s=0))
    yield server
    server.stop()


def is_cut_off(connection: socket.socket, trickle: bytes) -> bool:
    """Whether the server closes the connection while the client sends a little now and then."""
    try:
        for _ in range(100):
            connection.sendall(trickle)
            time.sleep(0.05)
    except OSError:
        return True
    return False


def test_a_connection_without_a_request_is_closed(hurried: LiveServer) -> None:
    with connect(hurried.port) as connection:
        assert connection.recv(100) == b""


@pytest.mark.parametrize("sent", [HEAD[:3], HEAD])
def test_half_a_head_is_408(hurried: LiveServer, sent: bytes) -> None:
    with connect(hurried.port) as connection:
        connection.sendall(sent)
        head, _, text = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(text)["error"]["code"] == "request_timeout"


def test_a_head_that_trickles_in_does_not_live_longer(hurried: LiveServer) -> None:
    with connect(hurried.port) as connection:
        connection.sendall(HEAD)
        assert is_cut_off(connection, b"X: y\r\n")


def test_a_connection_is_kept_between_requests_and_then_closed(hurried: LiveServer) -> None:
    with connect(hurried.port) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"\r\n")
            received = b""
            while not received.endswith(b'ready"}'):
                received += connection.recv(1000)
            assert received.startswith(b"HTTP/1.1 200")
            time.sleep(0.1)
        assert connection.recv(100) == b""


def test_a_body_that_nobody_asked_for_does_not_hold_the_connection(hurried: LiveServer) -> None:
    with connect(hurried.port) as connection:
        connection.sendall(HEAD.replace(b"GET", b"POST") + b"Content-Length: 999\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 405")
        assert is_cut_off(connection, b"x")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"\0" * 99]
)
def test_what_is_not_http_is_400_in_the_envelope(hurried: LiveServer, garbage: bytes) -> None:
    with connect(hurried.port) as connection:
        connection.sendall(garbage)
        head, _, text = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(text)["error"]["code"] == "invalid_http"
    assert httpx.get(f"{hurried.url}/health").status_code == 200


def test_a_head_that_is_too_large_is_400(hurried: LiveServer) -> None:
    with connect(hurried.port) as connection:
        connection.sendall(HEAD + b"X: " + b"y" * 40_000)
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


def test_a_websocket_request_gets_an_answer_and_no_advice(
    hurried: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The log told the operator to install a library."""
    with connect(hurried.port) as connection:
        connection.sendall(HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert caplog.text == ""


def test_a_refused_body_does_not_reset_the_connection(engine: FakeEngine) -> None:
    """A client that still sends would see a reset instead of its 401."""
    config = ServerConfig(api_key=KeyRing.of(["k"]), header_timeout_s=0.5, drain_grace_s=0)
    live = start_server(engine, config)
    head = HEAD.replace(b"GET", b"POST") + b"Content-Length: 300000\r\n\r\n"
    with connect(live.port) as connection:
        connection.sendall(head.replace(b"/health", b"/v1/models"))
        time.sleep(0.1)
        connection.sendall(b"x" * 300_000)
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        received = read_to_end(connection)
    assert received.startswith(b"HTTP/1.1 401")
    assert b"HTTP/1.1 200" in received
    with connect(live.port) as connection:
        connection.sendall(head.replace(b"/health", b"/v1/models"))
        assert is_cut_off(connection, b"x")
    live.stop()


# --- clients that do not read -------------------------------------------------------------------

LARGE: dict[str, Any] = {"max_tokens": 3000, "ignore_eos": True, "n": 4, "logprobs": 5}


def num_connections(live: LiveServer) -> int:
    return len(live.server.server_state.connections)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_never_reads_is_gone_after_its_time(
    hurried: LiveServer, engine: FakeEngine, caplog: pytest.LogCaptureFixture, is_streamed: bool
) -> None:
    """Whole answers had no limit at all; the socket of a stream stayed open with its bytes."""
    with connect(hurried.port, rcvbuf=4096) as connection:
        connection.sendall(request_bytes(stream=is_streamed, **LARGE))
        wait_until(lambda: len(engine.submitted) == 1)
        wait_until(lambda: num_connections(hurried) == 0)
    wait_until(lambda: engine.num_open == 0)
    wait_until(lambda: not hurried.server.server_state.tasks)
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["a client stopped reading its response; its connection was closed"]


@pytest.mark.slow
@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_reads_slowly_is_not_cut_off(engine: FakeEngine, is_streamed: bool) -> None:
    """The limit is for the time without a byte read, not for the whole response."""
    engine.model = dataclasses.replace(engine.model, max_model_len=10**6)
    live = start_server(engine, ServerConfig(send_timeout_s=4, drain_grace_s=0))
    received = bytearray()
    begin = time.monotonic()
    # What the client's system reads ahead is small: the server sees only what leaves its own.
    with connect(live.port, rcvbuf=16_384) as connection:
        connection.sendall(request_bytes(stream=is_streamed, **LARGE))
        while time.monotonic() - begin < 8:
            part = connection.recv(4_000)
            assert part, "closed"
            received += part
            time.sleep(0.05)
    live.stop()
    assert len(received) > 50_000


# --- many connections ---------------------------------------------------------------------------


def test_idle_connections_give_way_to_new_ones(narrow: LiveServer) -> None:
    idle = [connect(narrow.port) for _ in range(40)]
    for _ in range(10):
        assert httpx.get(f"{narrow.url}/health").status_code == 200
    wait_until(lambda: num_connections(narrow) <= 5)
    for connection in idle:
        connection.close()


def test_busy_connections_do_not_give_way(
    narrow: LiveServer, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is refused gets an answer like any other; it is counted, and has a line in the log."""
    caplog.set_level("INFO", logger="qstar_server.access")
    engine.is_hung = True
    busy = [connect(narrow.port) for _ in range(5)]
    for connection in busy:
        connection.sendall(request_bytes(stream=True))
    wait_until(lambda: engine.num_open == 5)
    for _ in range(10):
        response = httpx.get(f"{narrow.url}/health")
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert error_of(response)["code"] == "server_is_overloaded"
        assert "x-request-id" in response.headers
    refused = httpx.post(f"{narrow.url}/v1/messages", json={})
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "overloaded_error")
    engine.is_hung = False
    for connection in busy:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert b"[DONE]" in read_to_end(connection)
        connection.close()
    wait_until(lambda: httpx.get(f"{narrow.url}/health").status_code == 200)
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.endswith(" 503") for line in lines) == 11
    text = httpx.get(f"{narrow.url}/metrics").text
    counted = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    refusals = [float(line.split()[-1]) for line in counted if 'status="503"' in line]
    assert sum(refusals) == 11


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET /health HT"])
def test_500_connections_with_256_files_leave_the_server_answering(sent: bytes) -> None:
    """220 of them made /health time out, a core spin, and 59,307 tracebacks within seconds."""
    process = serve("--port", "0", "--log-level", "warning", preexec_fn=with_max_files(256))
    url = url_of(process).removesuffix("/v1")
    port = httpx.URL(url).port
    assert port is not None
    connections = [connect(port) for _ in range(500)]
    for connection in connections:
        with contextlib.suppress(OSError):  # closed by the server already
            connection.sendall(sent)
    for _ in range(20):
        assert httpx.get(f"{url}/health", timeout=2).status_code == 200
        assert httpx.post(f"{url}/v1/completions", json=body(), timeout=5).status_code == 200
    log = _stop(process)
    assert len(log.splitlines()) <= 1, log
    for connection in connections:
        connection.close()


def test_a_killed_client_frees_its_request(live: LiveServer, engine: FakeEngine) -> None:
    """`kill -9` of a client process in mid-stream."""
    engine.step_s = 0.02
    request = json.dumps(body(stream=True, max_tokens=400, ignore_eos=True))
    client = subprocess.Popen(
        ["curl", "-sN", f"{live.url}/v1/completions", "--json", request],
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline().startswith(b"data: {")
    client.kill()
    client.communicate()
    wait_until(lambda: engine.num_open == 0)
    assert len(engine.aborted) == 1
    wait_until(lambda: num_connections(live) == 0)
    text = httpx.post(f"{live.url}/v1/completions", json=body(stream=True)).text
    assert chunks_of(text)[-1]["choices"][0]["finish_reason"] == "length"


def _stop(process: "subprocess.Popen[str]") -> str:
    """Stop a server; returns its log."""
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    return log
