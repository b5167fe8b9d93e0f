"""`GET /health_generate` runs one token through the engine, and is no load."""

import asyncio
import math
import time

import httpx
import pytest
from qstar_server.endpoints.health import deep_check

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import NotFiniteError
from qstar_infer.outputs import EngineStats
from tests.server.fake_engine import FakeEngine
from tests.server.wire import error_of

PATH = "/health_generate"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that gives up soon."""
    monkeypatch.setattr(deep_check, "TIMEOUT_S", 0.2)


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_check, "FRESH_S", -math.inf)


async def test_one_token_is_made(any_client: httpx.AsyncClient, any_engine: Engine) -> None:
    before = any_engine.stats().tokens
    response = await any_client.get(PATH)
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    if isinstance(any_engine, FakeEngine):
        (request,) = any_engine.submitted
        assert (request.params.max_tokens, request.show_thoughts) == (1, False)
    else:
        assert any_engine.stats().tokens == before + 1


async def test_many_callers_share_one_check(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    for _ in range(2):
        answers = await asyncio.gather(*(client.get(PATH) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
    assert len(engine.submitted) == 1


@pytest.mark.usefixtures("uncached")
async def test_later_the_engine_is_asked_again(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    for number in range(3):
        await client.get(PATH)
        assert len(engine.submitted) == number + 1


@pytest.mark.usefixtures("short", "uncached")
async def test_a_hung_engine_is_503_though_health_is_200(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_hung = True
    response = await client.get(PATH)
    assert (response.status_code, error_of(response)["code"]) == (503, "engine_hangs")
    assert (await client.get("/health")).status_code == 200
    async with asyncio.timeout(20):
        while engine.num_open:
            await asyncio.sleep(0.005)
    engine.is_hung = False
    assert (await client.get(PATH)).status_code == 200


@pytest.mark.usefixtures("short")
async def test_a_hung_engine_does_not_gather_callers(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_hung = True
    started = time.monotonic()
    answers = await asyncio.gather(*(client.get(PATH) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    assert len(engine.submitted) == 1
    assert time.monotonic() - started < 20 * 0.2, "each waited for a check of its own"


@pytest.mark.usefixtures("short", "uncached")
@pytest.mark.parametrize(("goes_on", "status"), [(True, 200), (False, 503)])
async def test_a_full_queue_is_well_while_steps_go_on(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    goes_on: bool,
    status: int,
) -> None:
    started = time.monotonic()
    engine.is_full = True

    def stats() -> EngineStats:
        return EngineStats(steps=int((time.monotonic() - started) * 1000) * goes_on)

    monkeypatch.setattr(engine, "stats", stats)
    assert (await client.get(PATH)).status_code == status


@pytest.mark.usefixtures("uncached")
async def test_an_engine_that_computes_nonsense_is_503(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_hung = True
    asking = asyncio.create_task(client.get(PATH))
    while not engine.num_open:
        await asyncio.sleep(0.005)
    engine.fail(NotFiniteError("the numbers are", dtype="float16"))
    response = await asking
    assert (response.status_code, error_of(response)["code"]) == (503, "engine_fails")
    engine.is_hung = False
    assert (await client.get(PATH)).status_code == 200
