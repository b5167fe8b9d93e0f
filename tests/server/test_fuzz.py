"""No body whatever makes the server fail, and it serves the next request."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qstar_server.app import create_app
from qstar_server.completions.protocol import CompletionRequest
from qstar_server.config import ServerConfig

from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.messages.wire import error_of as error_of_message
from tests.server.wire import body, error_of

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
NAMES = sorted(set(CompletionRequest.model_fields) - {"model"})
ANY_FIELDS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), VALUES, max_size=5)
NEARLY_RIGHT = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.text(max_size=30) | st.lists(st.integers(0, 300), max_size=8),
        "max_tokens": st.integers(-1, 20),
        "n": st.integers(0, 4),
        "best_of": st.integers(0, 4),
        "logprobs": st.integers(-1, 6),
        "echo": st.booleans(),
        "stream": st.booleans(),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3),
        "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
        "show_thoughts": st.booleans(),
        "num_thought_tokens": st.integers(-1, 9),
        "thinking": st.fixed_dictionaries(
            {"where": st.sampled_from(["everywhere", "behind", "gate", "x"])},
            optional={"tokens": st.lists(st.integers(-1, 300) | st.text(max_size=3), max_size=3)},
        ),
        "skip_special_tokens": st.booleans(),
        "ignore_eos": st.booleans(),
        "logit_bias": st.dictionaries(
            st.integers(0, 300).map(str), st.floats(-101, 101), max_size=3
        ),
    },
)


class Server:
    """The application in process, on an event loop that outlives the examples."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.app = create_app(lambda: self.engine, ServerConfig())
        self.app.state.engine_slot.start_loading()
        self.runner = asyncio.Runner()

    def post(self, raw: bytes, path: str = "/v1/completions") -> httpx.Response:
        return self.runner.run(self._post(raw, path))

    async def _post(self, raw: bytes, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, content=raw, headers=headers)

    def check(self, raw: bytes, path: str = "/v1/completions") -> None:
        response = self.post(raw, path)
        if response.status_code != 200:
            assert response.status_code in (400, 404), response.text
            assert len(response.content) <= 2_000
            (error_of_message if path == "/v1/messages" else error_of)(response)
        else:
            assert '"error": {' not in response.text
        assert self.engine.num_open == 0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    while server.post(json.dumps(body()).encode()).status_code == 503:
        pass
    yield server
    assert server.post(json.dumps(body()).encode()).status_code == 200
    server.engine.close()
    server.runner.close()


@settings(deadline=None, max_examples=100)
@given(fields=ANY_FIELDS)
def test_any_fields(server: Server, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL, "prompt": "A"} | fields).encode())


@settings(deadline=None, max_examples=100)
@given(fields=NEARLY_RIGHT)
def test_nearly_right_fields(server: Server, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL, "prompt": "A"} | fields).encode())


@settings(deadline=None, max_examples=60)
@given(raw=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(server: Server, raw: bytes) -> None:
    server.check(raw)


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
THINKING = st.fixed_dictionaries(
    {"type": st.sampled_from(["enabled", "disabled", "adaptive"])},
    optional={"budget_tokens": st.integers(-1, 60), "display": st.just("omitted")},
)
RESPONSES_FIELDS = st.fixed_dictionaries(
    {"input": TEXTS | st.lists(ITEMS, max_size=4)},
    optional={
        "instructions": TEXTS,
        "stream": st.booleans(),
        "max_output_tokens": st.integers(-1, 40),
        "include_reasoning": st.booleans(),
        "show_thoughts": st.booleans(),
        "metadata": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "text": VALUES,
        "reasoning": VALUES,
        "tools": VALUES,
        "tool_choice": VALUES,
        "include": st.lists(st.just("message.output_text.logprobs"), max_size=2),
        "top_logprobs": st.integers(-1, 21),
    },
)
MESSAGES_FIELDS = st.fixed_dictionaries(
    {"messages": st.lists(ITEMS, max_size=4), "max_tokens": st.integers(0, 60)},
    optional={
        "system": TEXTS | st.lists(PARTS, max_size=2),
        "stream": st.booleans(),
        "thinking": THINKING | VALUES,
        "stop_sequences": st.lists(TEXTS, max_size=3),
        "tools": VALUES,
        "tool_choice": VALUES,
        "output_config": VALUES,
    },
)


@settings(deadline=None, max_examples=150)
@given(fields=RESPONSES_FIELDS)
def test_any_items(server: Server, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL} | fields).encode(), "/v1/responses")


@settings(deadline=None, max_examples=150)
@given(fields=MESSAGES_FIELDS)
def test_any_messages(server: Server, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL} | fields).encode(), "/v1/messages")
