"""The engine slot: 503 until the engine is loaded, and again once it is to stop."""

import asyncio
import threading

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import CheckpointError
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import client_of
from tests.server.live_server import wait_until
from tests.server.wire import body, error_of


async def test_503_until_the_model_is_loaded(engine: FakeEngine) -> None:
    is_loaded = threading.Event()

    def load() -> Engine:
        is_loaded.wait(5)
        return engine

    app = create_app(load, ServerConfig())
    async with app.router.lifespan_context(app), client_of(app) as client:
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

    app = create_app(load, ServerConfig())
    async with app.router.lifespan_context(app), client_of(app) as client:
        while error_of(await client.get("/health"))["code"] == "model_loading":
            await asyncio.sleep(0.005)
        response = await client.get("/health")
    assert response.status_code == 503
    assert response.headers["x-should-retry"] == "false"
    assert "secret" not in response.text
    assert app.state.engine_slot.failure is error
    assert ("at /secret" in caplog.text) == isinstance(error, ValueError)


async def test_stopping_closes_the_engine(engine: FakeEngine) -> None:
    app = create_app(lambda: engine, ServerConfig())
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


def test_an_engine_that_is_closed_has_not_died(engine: FakeEngine) -> None:
    slot = EngineSlot(lambda: engine)
    assert not slot.has_died
    slot.start_loading()
    wait_until(lambda: slot.engine is not None)
    assert not slot.has_died
    slot.close()
    assert not slot.has_died


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


async def test_new_requests_are_503_while_draining(engine: FakeEngine) -> None:
    app = create_app(lambda: engine, ServerConfig())
    async with app.router.lifespan_context(app), client_of(app) as client:
        app.state.engine_slot.start_draining()
        response = await client.post("/v1/completions", json=body())
    assert response.status_code == 503
    assert error_of(response)["code"] == "shutting_down"


async def test_a_whole_response_that_a_stop_cuts_off_may_be_retried(
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
