"""A client that goes away frees its request: streamed or not, running or queued.

Real sockets, since an in-process transport cannot hang up.
"""

import dataclasses
import json
import socket
import time
from typing import Any

import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.wire import body


def post(live: LiveServer, **fields: Any) -> socket.socket:
    """Send a request and leave the answer unread."""
    raw = json.dumps(body(max_tokens=400, ignore_eos=True, **fields)).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", live.port), timeout=60)
    connection.sendall(head.encode() + raw)
    return connection


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("is_queued", [True, False])
def test_leaving_frees_the_request(
    live: LiveServer, engine: FakeEngine, is_streamed: bool, is_queued: bool
) -> None:
    engine.step_s = 0.02
    engine.is_hung = is_queued
    connection = post(live, stream=is_streamed, prompt=["A", "B"], n=2)
    wait_until(lambda: engine.num_open == 2)
    if is_streamed and not is_queued:
        assert b"data: {" in connection.recv(65536) + connection.recv(65536)
    connection.close()
    wait_until(lambda: engine.num_open == 0)
    assert sorted(engine.aborted) == sorted(r.request_id for r in engine.submitted)


def test_leaving_touches_nobody_else(live: LiveServer, engine: FakeEngine) -> None:
    engine.step_s = 0.002
    leaving, staying = post(live, stream=True), post(live)
    wait_until(lambda: engine.num_open == 2)
    leaving.close()
    wait_until(lambda: len(engine.aborted) == 1)
    assert staying.recv(65536).startswith(b"HTTP/1.1 200")
    assert len(engine.aborted) == 1
    staying.close()


def test_leaving_before_the_body_is_whole_submits_nothing(
    live: LiveServer, engine: FakeEngine
) -> None:
    connection = socket.create_connection(("127.0.0.1", live.port), timeout=60)
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    time.sleep(0.1)
    connection.close()
    time.sleep(0.1)
    assert engine.submitted == []
    assert engine.is_alive


def test_a_client_that_stops_reading_loses_its_request(engine: FakeEngine) -> None:
    """Neither the memory of the server nor the batch may depend on how a client reads."""
    engine.model = dataclasses.replace(engine.model, max_model_len=10**6)
    live = start_server(
        engine, ServerConfig(send_timeout_s=0.3, max_pending_deltas=50, drain_grace_s=0)
    )
    raw_fields: dict[str, Any] = {"stream": True, "logprobs": 5, "show_thoughts": True, "n": 8}
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", live.port))
    raw = json.dumps(body(max_tokens=900_000, ignore_eos=True, **raw_fields)).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    connection.sendall(head.encode() + raw)
    try:
        # Some megabytes go into the kernel's buffers before the server notices.
        wait_until(lambda: len(engine.aborted) == 1, timeout_s=60)
        assert engine.num_open == 0
    finally:
        live.stop()
        connection.close()
