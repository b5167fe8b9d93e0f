"""No body whatever makes the messages endpoint fail, and the server serves the next request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.endpoints.messages.wire import PATH, body, error_of
from tests.server.fake_engine import MODEL
from tests.server.fuzz_server import ITEMS, PARTS, TEXTS, VALUES, FuzzServer

THINKING = st.fixed_dictionaries(
    {"type": st.sampled_from(["enabled", "disabled", "adaptive"])},
    optional={"budget_tokens": st.integers(-1, 60), "display": st.just("omitted")},
)
FIELDS = st.fixed_dictionaries(
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


@pytest.fixture(scope="module")
def server() -> Iterator[FuzzServer]:
    with FuzzServer.running(PATH, json.dumps(body()).encode(), error_of=error_of) as server:
        yield server


@settings(deadline=None, max_examples=150)
@given(fields=FIELDS)
def test_nearly_right_fields(server: FuzzServer, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL} | fields).encode())
