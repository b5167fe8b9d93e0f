"""Before the engine is there, and when it is to go."""

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.engine_slot import EngineSlot
from qstar_server.settings import Settings

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import CheckpointError
from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.wire import body, chunks_of, error_of

ROOT = Path(__file__).parents[2]


def in_process(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")


async def test_503_until_the_model_is_loaded(engine: FakeEngine) -> None:
    is_loaded = threading.Event()

    def load() -> Engine:
        is_loaded.wait(5)
        return engine

    app = create_app(load, Settings())
    async with app.router.lifespan_context(app), in_process(app) as client:
        for response in (
            await client.get("/health"),
            await client.get("/v1/models"),
            await client.post("/v1/completions", json=body()),
        ):
            assert response.status_code == 503
            assert error_of(response)["message"] == "Loading model"
            assert error_of(response)["type"] == "service_unavailable_error"
        is_loaded.set()
        while (await client.get("/health")).status_code != 200:
            await asyncio.sleep(0.005)
        assert (await client.post("/v1/completions", json=body())).status_code == 200


@pytest.mark.parametrize("error", [CheckpointError("at /secret"), ValueError("at /secret")])
async def test_a_failed_load_is_503_and_keeps_its_reason_for_the_operator(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def load() -> Engine:
        raise error

    app = create_app(load, Settings())
    async with app.router.lifespan_context(app), in_process(app) as client:
        while error_of(await client.get("/health"))["code"] == "model_loading":
            await asyncio.sleep(0.005)
        response = await client.get("/health")
    assert response.status_code == 503
    assert response.headers["x-should-retry"] == "false"
    assert "secret" not in response.text
    assert app.state.engine_slot.failure is error
    assert ("at /secret" in caplog.text) == isinstance(error, ValueError)


async def test_stopping_closes_the_engine(engine: FakeEngine) -> None:
    app = create_app(lambda: engine, Settings())
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.05)
        assert engine.is_alive
    assert not engine.is_alive


def test_an_engine_that_is_loaded_too_late_is_closed_at_once(engine: FakeEngine) -> None:
    is_loaded = threading.Event()

    def load() -> Engine:
        is_loaded.wait(5)
        return engine

    slot = EngineSlot(load)
    slot.start_loading()
    slot.close()
    is_loaded.set()
    wait_until(lambda: not engine.is_alive)


async def test_a_slow_tokenizer_does_not_block_others(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def encode(*_: object, **__: object) -> list[int]:
        release.wait(5)
        return [65]

    monkeypatch.setattr(engine, "encode", encode)
    slow = asyncio.create_task(client.post("/v1/completions", json=body()))
    await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(client.get("/health"), 2)).status_code == 200
    assert not slow.done()
    release.set()
    assert (await slow).status_code == 200


def stream_in_thread(live: LiveServer, **fields: Any) -> tuple[threading.Thread, list[str]]:
    texts: list[str] = []

    def read() -> None:
        request = body(stream=True, ignore_eos=True, **fields)
        texts.append(httpx.post(f"{live.url}/v1/completions", json=request, timeout=20).text)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, texts


def test_open_streams_finish_while_draining(engine: FakeEngine) -> None:
    live = start_server(engine, Settings(drain_grace_s=10, shutdown_grace_s=1))
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
    live = start_server(engine, Settings(drain_grace_s=0.3, shutdown_grace_s=5))
    engine.step_s = 0.02
    thread, texts = stream_in_thread(live, max_tokens=400)
    wait_until(lambda: engine.num_open == 1)
    live.stop()
    thread.join()
    assert len(chunks_of(texts[0])) < 400
    error = chunks_of(texts[0])[-1]["error"]
    assert (error["code"], error["message"]) == ("shutting_down", "The server is shutting down.")


async def test_a_whole_response_that_a_stop_cuts_off_may_be_asked_for_again(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """It was a 503 that told OpenAI's client not to try again."""
    engine.is_hung = True
    sending = asyncio.create_task(client.post("/v1/completions", json=body()))
    while engine.num_open == 0:
        await asyncio.sleep(0.005)
    await asyncio.to_thread(engine.close)
    response = await sending
    assert (response.status_code, error_of(response)["code"]) == (503, "shutting_down")
    assert "x-should-retry" not in response.headers


async def test_new_requests_are_503_while_draining(engine: FakeEngine) -> None:
    app = create_app(lambda: engine, Settings())
    async with app.router.lifespan_context(app), in_process(app) as client:
        app.state.engine_slot.start_draining()
        response = await client.post("/v1/completions", json=body())
    assert response.status_code == 503
    assert error_of(response)["code"] == "shutting_down"


SERVE = """
import sys
import threading
import types
from qstar_infer.cli.main import main
from qstar_infer.errors import CheckpointError, EngineDeadError
from tests.server.fake_engine import FakeEngine

def start_engine(source, **options):
    if source == "broken":
        raise CheckpointError("broken is not a checkpoint")
    if source == "bug":
        raise ZeroDivisionError("a bug of ours")
    engine = FakeEngine()
    engine.step_s = 0.02
    if source == "mortal":
        threading.Thread(target=die, args=[engine], daemon=True).start()
    return engine

def die(engine):
    while engine.num_open < 2:
        threading.Event().wait(0.05)
    engine.die(EngineDeadError("device-side assert"))

sys.modules["qstar_infer.engine.start"] = types.SimpleNamespace(start_engine=start_engine)
main()
"""


def serve(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sigterm_ends_streams_properly_and_exits_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_DRAIN_GRACE_S", "0.2")
    process = serve("--port", "0")
    assert process.stdout is not None
    ready = r"Serving fake/thinker at http://127\.0\.0\.1:(\d+)/v1 - A scripted model\."
    said = re.match(ready, process.stdout.readline())
    assert said is not None
    port = int(said[1])
    wait_until(lambda: is_up(port))
    url = f"http://127.0.0.1:{port}/v1/completions"
    with httpx.stream("POST", url, json=body(stream=True, max_tokens=400, ignore_eos=True)) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: {")
        process.terminate()
        rest = [line for line in lines if line]
    assert "shutting_down" in rest[-2]
    assert rest[-1] == "data: [DONE]"
    _, log = process.communicate(timeout=10)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert "/health" not in log, "a line a request would drown the rest"


def test_port_0_takes_a_free_port_and_says_which() -> None:
    """It said port 0, and nothing else told where the server was."""
    process = serve("--port", "0")
    assert process.stdout is not None
    said = re.match(r"Serving \S+ at http://127\.0\.0\.1:(\d+)/v1 - ", process.stdout.readline())
    assert said is not None
    assert is_up(int(said[1]))
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_server_whose_engine_dies_answers_its_requests_and_exits_1() -> None:
    """It stayed up for good and answered 503, so that nothing started it again."""
    process = serve("mortal", "--port", "0")
    assert process.stdout is not None
    said = re.match(r"Serving \S+ at (\S+) - ", process.stdout.readline())
    assert said is not None
    url, request = f"{said[1]}/completions", body(max_tokens=400, ignore_eos=True)
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
    assert re.fullmatch(r"error: the engine has died, .*\n", log), log


def test_an_engine_that_is_closed_has_not_died(engine: FakeEngine) -> None:
    slot = EngineSlot(lambda: engine)
    assert not slot.has_died
    slot.start_loading()
    wait_until(lambda: slot.engine is not None)
    assert not slot.has_died
    slot.close()
    assert not slot.has_died


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.ConnectError:
        return False


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
    process = serve(*arguments, "--port", "0")
    said, log = process.communicate(timeout=20)
    assert (process.returncode, said, log.splitlines()) == (2, "", [line])


def test_an_unexpected_failure_to_load_is_exit_1_and_its_traceback_is_in_the_log() -> None:
    process = serve("bug", "--port", "0")
    _, log = process.communicate(timeout=20)
    assert process.returncode == 1
    assert log.count("Traceback") == 1
    assert log.splitlines()[-1] == "ZeroDivisionError: a bug of ours"
