"""Each request leaves one line: what it was and what came of it, and none of its texts."""

import asyncio
import json
import logging
import socket
import time
from typing import Any

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import SCRIPT, FakeEngine
from tests.server.in_process import client_of, serving
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.scripted_output import THOUGHT_TEXT
from tests.server.wire import body

SECRET = "my secret prompt"


def access_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """Message and fields of each line but those of health checks."""
    return [
        (record.getMessage(), vars(record)["fields"])
        for record in caplog.records
        if record.name == "qstar_server.access" and "/health" not in record.getMessage()
    ]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="qstar_server")
    return caplog


async def test_a_completion_leaves_one_line_with_its_numbers(
    client: httpx.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    request = body(prompt="ABC", max_tokens=4, ignore_eos=True, n=2)
    answer = (await client.post("/v1/completions", json=request)).json()
    ((message, fields),) = access_lines(log)
    assert message == "POST /v1/completions 200"
    assert 0 < fields.pop("ttft_s") <= fields.pop("duration_s")
    assert fields == {
        "prompt_tokens": 3,
        "tokens": 8,
        "thought_tokens": 8 * 3,
        "cached_tokens": 0,
        "finish": "length",
        "response_id": answer["id"],
    }


async def test_a_stream_leaves_one_line_at_its_end(
    client: httpx.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    request = body(stream=True, max_tokens=5, ignore_eos=True)
    await client.post("/v1/completions", json=request)
    ((message, fields),) = access_lines(log)
    assert message == "POST /v1/completions 200"
    assert (fields["tokens"], fields["finish"]) == (5, "length")


async def test_refused_requests_leave_a_line(
    client: httpx.AsyncClient, engine: FakeEngine, log: pytest.LogCaptureFixture
) -> None:
    """400, 404, 429 and 405 left no trace."""
    await client.post("/v1/completions", json=body(n=0))
    await client.post("/v1/completions", json=body(model="x"))
    await client.get("/nothing%0Ahere")
    await client.put("/v1/models")
    engine.is_full = True
    await client.post("/v1/completions", json=body())
    seen = [(message, fields.get("error")) for message, fields in access_lines(log)]
    assert seen == [
        ("POST /v1/completions 400", "invalid_request_error"),
        ("POST /v1/completions 404", "model_not_found"),
        ("GET other 404", "invalid_request_error"),
        ("PUT /v1/models 405", "invalid_request_error"),
        ("POST /v1/completions 429", "queue_full"),
    ]


async def test_an_engine_error_names_its_code(
    client: httpx.AsyncClient, engine: FakeEngine, log: pytest.LogCaptureFixture
) -> None:
    engine.is_hung = True
    for is_stream in (False, True):
        request = body(stream=is_stream)
        answer = asyncio.create_task(client.post("/v1/completions", json=request))
        while not engine.num_open:
            await asyncio.sleep(0.005)
        engine.fail(ValueError("a bug"))
        await answer
    lines = access_lines(log)
    assert [message for message, _ in lines] == [
        "POST /v1/completions 500",
        "POST /v1/completions 200",
    ]
    assert [fields["error"] for _, fields in lines] == ["internal_error"] * 2
    assert [fields["finish"] for _, fields in lines] == ["error"] * 2


@pytest.mark.parametrize("is_stream", [True, False])
def test_an_aborted_request_leaves_a_line(
    live: LiveServer, engine: FakeEngine, log: pytest.LogCaptureFixture, is_stream: bool
) -> None:
    engine.step_s = 0.01
    request = body(stream=is_stream, max_tokens=400, ignore_eos=True)
    content = json.dumps(request).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
    with socket.create_connection(("127.0.0.1", live.port)) as client:
        client.sendall(f"{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        wait_until(lambda: engine.num_deltas > 0)
        time.sleep(0.1)  # for the server to take it
    wait_until(lambda: bool(access_lines(log)))
    ((message, fields),) = access_lines(log)
    assert message == f"POST /v1/completions {200 if is_stream else 499}"
    assert fields["finish"] == "abort"
    assert 0 < fields["tokens"] < 400


@pytest.mark.parametrize("show_thoughts", [True, False])
async def test_no_text_is_logged(
    client: httpx.AsyncClient, log: pytest.LogCaptureFixture, show_thoughts: bool
) -> None:
    for is_stream in (True, False):
        request = body(prompt=SECRET, show_thoughts=show_thoughts, stream=is_stream)
        await client.post("/v1/completions", json=request)
        await client.post("/v1/completions", json=request | {"n": 0})
    for text in (SECRET, SECRET[3:9], SCRIPT[:5], THOUGHT_TEXT[:5]):
        assert text not in log.text


async def test_an_operator_may_ask_for_texts(
    engine: FakeEngine, log: pytest.LogCaptureFixture
) -> None:
    async with serving(engine, ServerConfig(log_requests=True)) as client:
        for show_thoughts in (False, True):
            request = body(prompt=SECRET, max_tokens=4, show_thoughts=show_thoughts)
            await client.post("/v1/completions", json=request)
    lines = [vars(each)["fields"] for each in log.records if each.name == "qstar_server.texts"]
    assert [line["prompt"] for line in lines] == [SECRET] * 2
    assert all(SCRIPT.startswith(line["output"]) and line["output"] for line in lines)
    assert "thoughts" not in lines[0]
    assert lines[1]["thoughts"].startswith(f"[{(THOUGHT_TEXT * 3)[:3]}]H")


async def test_logged_texts_are_cut(log: pytest.LogCaptureFixture) -> None:
    big = FakeEngine(max_model_len=9000)
    async with serving(big, ServerConfig(log_requests=True)) as client:
        request = body(prompt="p" * 5000, max_tokens=3000, ignore_eos=True)
        await client.post("/v1/completions", json=request)
    big.close()
    (line,) = [vars(each)["fields"] for each in log.records if each.name == "qstar_server.texts"]
    assert (len(line["prompt"]), len(line["output"])) == (2000, 2000)


async def test_the_access_log_can_be_turned_off(
    engine: FakeEngine, log: pytest.LogCaptureFixture
) -> None:
    async with serving(engine, ServerConfig(access_log=False)) as client:
        await client.post("/v1/completions", json=body())
    assert access_lines(log) == []


async def test_a_probe_has_a_line_only_when_its_answer_is_news(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """An orchestrator's health checks and Prometheus filled the log."""
    caplog.set_level(logging.INFO)
    app = create_app(lambda: engine, ServerConfig())
    async with client_of(app) as client:
        await client.get("/health")
        await client.get("/health")
        app.state.engine_slot.start_loading()
        while app.state.engine_slot.engine is None:
            await asyncio.sleep(0.001)
        for path in ("/health", "/metrics", "/version") * 3:
            await client.get(path)
        app.state.engine_slot.start_draining()
        await client.get("/health")
    lines = [each.getMessage() for each in caplog.records if each.name == "qstar_server.access"]
    assert lines == [
        *["GET /health 503"] * 2,
        *("GET /health 200", "GET /metrics 200"),
        *["GET /version 200"] * 3,
        "GET /health 503",
    ]


def test_a_websocket_request_leaves_its_line_and_no_advice(
    engine: FakeEngine, config: ServerConfig, log: pytest.LogCaptureFixture
) -> None:
    """It printed what to install."""
    live = start_server(engine, config)
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert httpx.get(f"{live.url}/ws", headers=headers).status_code == 404
    live.stop()
    assert [message for message, _ in access_lines(log)] == ["GET other 404"]
    assert not [record for record in log.records if "uvicorn" in record.name]
