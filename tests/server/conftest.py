"""A fake engine, and the application in front of it: in process, and behind a real socket."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest
from qstar_server.app import create_app
from qstar_server.settings import Settings

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.close()


@pytest.fixture
def settings() -> Settings:
    return Settings(drain_grace_s=0.2, shutdown_grace_s=1)


@pytest.fixture
async def client(engine: FakeEngine, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The application in process."""
    app = create_app(lambda: engine, settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            while (await client.get("/health")).status_code != 200:
                await asyncio.sleep(0.005)
            yield client


@pytest.fixture
def live(engine: FakeEngine, settings: Settings) -> Iterator[LiveServer]:
    """The application behind a real socket."""
    server = start_server(engine, settings)
    yield server
    server.stop()


@pytest.fixture
def openai_client(live: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        yield client
