"""A server from start to stop: draining, signals, a dead engine, exit statuses."""

import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.raw_http import connect, read_to_end, request_bytes
from tests.server.served_process import serve, url_of
from tests.server.wire import body, chunks_of, error_of

QUIET = ("--log-level", "warning")


def stream_in_thread(live: LiveServer, **fields: Any) -> tuple[threading.Thread, list[str]]:
    texts: list[str] = []

    def read() -> None:
        request = body(stream=True, ignore_eos=True, **fields)
        texts.append(httpx.post(f"{live.url}/v1/completions", json=request, timeout=20).text)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, texts


def test_open_streams_finish_while_draining(engine: FakeEngine) -> None:
    live = start_server(engine, ServerConfig(drain_grace_s=10, shutdown_grace_s=1))
    engine.step_s = 0.02
    thread, texts = stream_in_thread(live, max_tokens=40)
    wait_until(lambda: engine.num_open == 1)
    live.stop()
    thread.join()
    chunks = chunks_of(texts[0])
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert engine.aborted == []
    assert not engine.is_alive


def test_streams_still_open_after_the_drain_time_end_with_an_error(engine: FakeEngine) -> None:
    """The error said that the engine had died, so that clients reported a crash."""
    live = start_server(engine, ServerConfig(drain_grace_s=0.3, shutdown_grace_s=5))
    engine.step_s = 0.02
    thread, texts = stream_in_thread(live, max_tokens=400)
    wait_until(lambda: engine.num_open == 1)
    live.stop()
    thread.join()
    assert len(chunks_of(texts[0])) < 400
    error = chunks_of(texts[0])[-1]["error"]
    assert (error["code"], error["message"]) == ("shutting_down", "The server is shutting down.")


def test_sigterm_ends_streams_properly_and_exits_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_DRAIN_GRACE_S", "0.2")
    process = serve("--port", "0")
    url = f"{url_of(process)}/completions"
    with httpx.stream("POST", url, json=body(stream=True, max_tokens=400, ignore_eos=True)) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: {")
        process.terminate()
        rest = [line for line in lines if line]
    assert "shutting_down" in rest[-2]
    assert rest[-1] == "data: [DONE]"
    said, log = process.communicate(timeout=10)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert "/completions" not in said
    assert log.count("POST /v1/completions 200") == 1


def health_status(live: LiveServer) -> int | None:
    """None: the drain began between the connection and its request, and closed the connection."""
    try:
        return httpx.get(f"{live.url}/health").status_code
    except httpx.RemoteProtocolError:
        return None


def test_new_requests_are_503_while_streams_finish(engine: FakeEngine) -> None:
    """New connections were refused, which /health does not say and no proxy understands."""
    live = start_server(engine, ServerConfig(drain_grace_s=20, shutdown_grace_s=1))
    engine.step_s = 0.02
    thread, texts = stream_in_thread(live, max_tokens=400)
    wait_until(lambda: engine.num_open == 1)
    with httpx.Client(base_url=live.url) as kept:
        assert kept.get("/health").status_code == 200
        live.server.should_exit = True
        wait_until(lambda: health_status(live) == 503)
        for answer in (
            kept.get("/health"),
            httpx.get(f"{live.url}/v1/models"),
            httpx.post(f"{live.url}/v1/completions", json=body()),
        ):
            assert (answer.status_code, error_of(answer)["code"]) == (503, "shutting_down")
            assert answer.headers["connection"] == "close"
    assert engine.num_open == 1
    engine.step_s = 0
    live.stop()
    thread.join()
    assert chunks_of(texts[0])[-1]["choices"][0]["finish_reason"] == "length"


def test_the_drain_does_not_wait_for_idle_connections(engine: FakeEngine) -> None:
    live = start_server(engine, ServerConfig(drain_grace_s=60, shutdown_grace_s=60))
    with connect(live.port) as silent, connect(live.port) as half:
        half.sendall(b"GET /health HT")
        wait_until(lambda: len(live.server.server_state.connections) >= 2)
        live.stop()  # within ten seconds
        assert (silent.recv(10), half.recv(10)) == (b"", b"")


def test_an_engine_that_hangs_does_not_keep_the_server(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = start_server(engine, ServerConfig(drain_grace_s=0.1, shutdown_grace_s=0.2))
    engine.is_hung = True
    release = threading.Event()
    monkeypatch.setattr(engine, "close", lambda: release.wait(30))
    with connect(live.port) as connection:
        connection.sendall(request_bytes(stream=True))
        wait_until(lambda: engine.num_open == 1)
        live.stop()  # within ten seconds
        assert b"[DONE]" not in read_to_end(connection)
    release.set()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait_for_streams(second: signal.Signals) -> None:
    process = serve("--port", "0")
    url = f"{url_of(process)}/completions"
    with httpx.stream("POST", url, json=body(stream=True, max_tokens=500, ignore_eos=True)) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: {")
        process.terminate()
        wait_until(lambda: httpx.get(url.replace("completions", "models")).status_code == 503)
        process.send_signal(second)
        _, log = process.communicate(timeout=5)
    assert process.returncode == 0, log
    assert "Traceback" not in log


@pytest.mark.slow  # loads a real model
def test_a_second_signal_during_a_step_of_a_real_engine_exits_0() -> None:
    """The process aborted (SIGABRT): its interpreter ended beside a thread in C++ code."""
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", "lab", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = url_of(process)
        body = {"model": "qstar-lab", "prompt": "5*3-2+4.............?", "max_tokens": 480}
        body |= {"ignore_eos": True, "stream": True}
        with httpx.stream("POST", f"{url}/completions", json=body, timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: {")
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log


def test_sigterm_while_the_model_loads_exits_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = serve("slow", "--port", str(port), "--log-level", "warning")
    health = f"http://127.0.0.1:{port}/health"
    wait_until(lambda: _status(health) == 503)
    process.terminate()
    _, log = process.communicate(timeout=5)
    assert process.returncode == 0, log


def _status(url: str) -> int:
    """The status of a GET; 0 if nobody listens."""
    try:
        return httpx.get(url).status_code
    except httpx.ConnectError:
        return 0


def test_a_port_in_use_is_a_mistake_of_the_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        process = serve("--port", port, *QUIET)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 2
    (line,) = log.splitlines()
    problem = f"the server cannot listen on 127.0.0.1, port {port}: Address already in use"
    assert line == f"error: {problem}. Choose another with --host or --port"


def test_a_server_that_others_can_reach_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    process = serve("--host", "0.0.0.0", "--port", "0", *QUIET)
    said, log = process.communicate(timeout=20)
    assert (process.returncode, said) == (2, "")
    assert log.startswith("error: other machines can reach 0.0.0.0, and there is no API key")
    monkeypatch.setenv("QSTAR_API_KEY", "k")
    process = serve("--host", "0.0.0.0", "--port", "0", *QUIET)
    assert httpx.get(f"{url_of(process)}/models").status_code == 401
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log


def test_an_error_is_the_last_line() -> None:
    """The log, which has a thread of its own, came after it and hid it."""
    process = serve("--host", "0.0.0.0", "--port", "0")
    _, log = process.communicate(timeout=20)
    *before, last = log.splitlines()
    assert before
    assert last.startswith("error: other machines can reach 0.0.0.0")


def test_with_insecure_it_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_INSECURE", "1")
    process = serve("--host", "0.0.0.0", "--port", "0", *QUIET)
    assert httpx.get(f"{url_of(process)}/models").status_code == 200
    process.terminate()
    _, log = process.communicate(timeout=20)
    (line,) = log.splitlines()
    assert "everyone who can reach 0.0.0.0 may use this server" in line


def test_port_0_takes_a_free_port_and_says_which() -> None:
    """It said port 0, and nothing else told where the server was."""
    process = serve("--port", "0")
    assert httpx.get(f"{url_of(process)}/models").status_code == 200
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_server_whose_engine_dies_answers_its_requests_and_exits_1() -> None:
    """It kept running and answered 503 forever, so no supervisor restarted it."""
    process = serve("mortal", "--port", "0")
    url, request = f"{url_of(process)}/completions", body(max_tokens=400, ignore_eos=True)
    with httpx.stream("POST", url, json=request | {"stream": True}) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: {")
        whole = httpx.post(url, json=request, timeout=20)
        rest = [line for line in lines if line]
    assert (whole.status_code, error_of(whole)["code"]) == (503, "engine_dead")
    assert "engine_dead" in rest[-2]
    assert rest[-1] == "data: [DONE]"
    try:
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 1, log
    said = "error: the engine crashed, so the server exited; see the log above"
    assert log.splitlines()[-1] == said
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["broken"], "error: broken is not a checkpoint"),
        (
            ["--speculation", "-1"],
            'error: speculation must be "auto", "off" or a number of tokens, got \'-1\'',
        ),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_2(arguments: list[str], line: str) -> None:
    process = serve(*arguments, "--port", "0", "--log-level", "warning")
    said, log = process.communicate(timeout=20)
    assert (process.returncode, said, log.splitlines()) == (2, "", [line])


def test_an_unexpected_failure_to_load_is_exit_1_and_its_traceback_is_in_the_log() -> None:
    process = serve("bug", "--port", "0")
    _, log = process.communicate(timeout=20)
    assert process.returncode == 1
    assert log.count("Traceback") == 1
    assert "    ZeroDivisionError: a bug of ours" in log.splitlines()
