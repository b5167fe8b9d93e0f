"""No body whatever makes chat fail, and it serves the next request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qstar_server.endpoints.chat.protocol import ChatCompletionRequest

from tests.server.endpoints.chat.wire import PATH, body
from tests.server.fuzz_server import VALUES, FuzzServer

NAMES = sorted(set(ChatCompletionRequest.model_fields) - {"model"})
ANY_FIELDS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), VALUES, max_size=5)
TEXT = st.text(max_size=10)
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url"])}, optional={"text": TEXT}
)
CONTENT = TEXT | st.lists(PART, max_size=3) | st.none()
CALL = st.fixed_dictionaries(
    {"id": TEXT, "type": st.just("function")},
    optional={
        "function": st.fixed_dictionaries(
            {"name": TEXT, "arguments": st.sampled_from(["{}", '{"a": 1}', "[", "1"])}
        )
    },
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "x"])},
    optional={
        "content": CONTENT,
        "name": TEXT,
        "tool_call_id": TEXT,
        "tool_calls": st.lists(CALL, max_size=2),
        "reasoning": TEXT,
    },
)
TOOL = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom"])},
    optional={"function": st.fixed_dictionaries({"name": TEXT}, optional={"parameters": VALUES})},
)
NEARLY_RIGHT = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(MESSAGE, max_size=4),
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": st.sampled_from(["none", "auto", "required", "x"]),
        "max_tokens": st.integers(-1, 20),
        "max_completion_tokens": st.integers(-1, 20),
        "n": st.integers(0, 4),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(-1, 21),
        "stream": st.booleans(),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3),
        "show_thoughts": st.booleans(),
        "thought_top_logprobs": st.integers(-1, 21),
        "show_passes": st.booleans(),
        "include_reasoning": st.booleans(),
        "continue_final_message": st.booleans(),
        "add_generation_prompt": st.booleans(),
        "parallel_tool_calls": st.booleans(),
        "reasoning_effort": st.sampled_from(["none", "low", "max", "x"]),
    },
)


@pytest.fixture(scope="module")
def server() -> Iterator[FuzzServer]:
    with FuzzServer.running(PATH, json.dumps(body()).encode()) as server:
        yield server


@settings(deadline=None, max_examples=100)
@given(fields=ANY_FIELDS)
def test_any_fields(server: FuzzServer, fields: dict[str, Any]) -> None:
    server.check(json.dumps(body() | fields).encode())


@settings(deadline=None, max_examples=200)
@given(fields=NEARLY_RIGHT)
def test_nearly_right_fields(server: FuzzServer, fields: dict[str, Any]) -> None:
    server.check(json.dumps(body() | fields).encode())
