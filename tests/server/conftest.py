"""Engines, and the application in front of them: in process, and behind a real socket."""

from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.live_server import LiveServer, start_server
from tests.server.real_engine import create_real_engine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def real_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = create_real_engine(tmp_path_factory.mktemp("toy") / "checkpoint")
    yield engine
    engine.close()


@pytest.fixture(params=["engine", "real_engine"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    """The fake engine, then the real one: a contract holds for both."""
    engine: Engine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def config() -> ServerConfig:
    return ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1)


@pytest.fixture
async def client(engine: FakeEngine, config: ServerConfig) -> AsyncIterator[httpx.AsyncClient]:
    """The application with the fake engine."""
    async with serving(engine, config) as client:
        yield client


@pytest.fixture
async def any_client(any_engine: Engine, config: ServerConfig) -> AsyncIterator[httpx.AsyncClient]:
    """The application with the fake engine, then with the real one."""
    async with serving(any_engine, config) as client:
        yield client


@pytest.fixture
async def real_client(
    real_engine: Engine, config: ServerConfig
) -> AsyncIterator[httpx.AsyncClient]:
    """The application with the real engine."""
    async with serving(real_engine, config) as client:
        yield client


@pytest.fixture
def live(engine: FakeEngine, config: ServerConfig) -> Iterator[LiveServer]:
    """The application with the fake engine behind a real socket."""
    server = start_server(engine, config)
    yield server
    server.stop()


@pytest.fixture
def openai_client(live: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        yield client
