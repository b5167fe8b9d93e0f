"""A server with the scripted engine, in threads of the test's process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qstar_server.settings.config import ServerConfig

from tests.browser.stories import SHORT
from tests.browser.story import StoryEngine, Word
from tests.server.live_server import LiveServer, start_server


@dataclass
class Stage:
    """A running server, and the engine that a test steers."""

    engine: StoryEngine
    server: LiveServer

    @property
    def url(self) -> str:
        return self.server.url


@contextmanager
def staging(story: Sequence[Word] = SHORT, **settings: Any) -> Iterator[Stage]:
    """A server that answers with a story.

    Args:
        settings: of `ServerConfig`.
    """
    engine = StoryEngine(story)
    config = ServerConfig(
        port=0, drain_grace_s=0.2, shutdown_grace_s=1, access_log=False, **settings
    )
    server = start_server(engine, config)
    try:
        yield Stage(engine, server)
    finally:
        engine.resume()
        server.stop()
