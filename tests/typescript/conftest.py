"""The built client, and a server of a scripted engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server
from tests.typescript.node_package import build_package


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built client, with the programs."""
    folder = tmp_path_factory.mktemp("npm") / "qstar-client"
    build_package(folder)
    return folder


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.close()


@pytest.fixture
def live(engine: FakeEngine) -> Iterator[LiveServer]:
    """A server on a free port of this machine."""
    server = start_server(engine, ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1))
    yield server
    server.stop()
