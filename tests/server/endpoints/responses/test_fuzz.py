"""No body whatever makes the responses endpoint fail, and the server serves the next request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.endpoints.responses.wire import PATH, body
from tests.server.fake_engine import MODEL
from tests.server.fuzz_server import ITEMS, TEXTS, VALUES, FuzzServer

FIELDS = st.fixed_dictionaries(
    {"input": TEXTS | st.lists(ITEMS, max_size=4)},
    optional={
        "instructions": TEXTS,
        "stream": st.booleans(),
        "max_output_tokens": st.integers(-1, 40),
        "include_reasoning": st.booleans(),
        "show_thoughts": st.booleans(),
        "thought_top_logprobs": st.integers(-1, 21),
        "show_passes": st.booleans(),
        "metadata": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "text": VALUES,
        "reasoning": VALUES,
        "tools": VALUES,
        "tool_choice": VALUES,
        "include": st.lists(st.just("message.output_text.logprobs"), max_size=2),
        "top_logprobs": st.integers(-1, 21),
    },
)


@pytest.fixture(scope="module")
def server() -> Iterator[FuzzServer]:
    with FuzzServer.running(PATH, json.dumps(body()).encode()) as server:
        yield server


@settings(deadline=None, max_examples=150)
@given(fields=FIELDS)
def test_nearly_right_fields(server: FuzzServer, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL} | fields).encode())
