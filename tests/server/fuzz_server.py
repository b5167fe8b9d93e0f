"""A server for bodies of every kind, and the kinds."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from hypothesis import strategies as st
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.wire import error_of

ErrorReader = Callable[[httpx.Response], dict[str, Any]]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 40)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=20)
    | st.sampled_from(["", "\0", "none", "high", "é😀", "\ud800", "\u2028"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=6,
)


class FuzzServer:
    """The application in process, on an event loop that outlives the examples."""

    def __init__(self, path: str, *, error_of: ErrorReader) -> None:
        """
        Args:
            path: of the endpoint that gets the bodies.
            error_of: checks the form of an error.
        """
        self.path = path
        self.error_of = error_of
        self.engine = FakeEngine()
        self.app = create_app(lambda: self.engine, ServerConfig())
        self.app.state.engine_slot.start_loading()
        self.runner = asyncio.Runner()

    def post(self, raw: bytes) -> httpx.Response:
        return self.runner.run(self._post(raw))

    async def _post(self, raw: bytes) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(self.path, content=raw, headers=headers)

    def check(self, raw: bytes) -> None:
        """The body is answered or refused, and nothing is left in the engine."""
        response = self.post(raw)
        if response.status_code != 200:
            assert response.status_code in (400, 404), response.text
            assert len(response.content) <= 2_000
            self.error_of(response)
        else:
            assert '"error":{' not in response.text.replace(" ", "")
        assert self.engine.num_open == 0

    @classmethod
    @contextmanager
    def running(
        cls, path: str, good_body: bytes, *, error_of: ErrorReader = error_of
    ) -> Iterator["FuzzServer"]:
        """A server that serves a good body, before and after those of the test."""
        server = cls(path, error_of=error_of)
        while server.post(good_body).status_code == 503:
            pass
        yield server
        assert server.post(good_body).status_code == 200
        server.engine.close()
        server.runner.close()


TEXTS = st.text(max_size=10) | st.sampled_from(["\0", "\ud800", "\u2028"])
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "input_text", "output_text", "thinking", "tool_use", "x"])},
    optional={"text": TEXTS | VALUES, "id": VALUES, "name": VALUES, "input": VALUES},
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning"]),
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
        "content": TEXTS | st.lists(PARTS | VALUES, max_size=3) | VALUES,
        "call_id": TEXTS | VALUES,
        "name": TEXTS | VALUES,
        "arguments": st.sampled_from(["{}", "[", '{"a": 1}']) | VALUES,
        "output": TEXTS | VALUES,
    },
)
"""Messages and items of conversations, nearly right."""
