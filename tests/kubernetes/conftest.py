"""A scripted engine for the tests that need a server."""

from collections.abc import Iterator

import pytest

from tests.server.fake_engine import FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.close()
