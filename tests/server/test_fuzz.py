"""No body whatever makes the server fail, and it serves the next request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qstar_server.endpoints.completions.protocol import CompletionRequest

from tests.server.fake_engine import MODEL
from tests.server.fuzz_server import VALUES, FuzzServer
from tests.server.wire import body

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
        "thought_top_logprobs": st.integers(-1, 21),
        "show_passes": st.booleans(),
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


@pytest.fixture(scope="module")
def server() -> Iterator[FuzzServer]:
    with FuzzServer.running("/v1/completions", json.dumps(body()).encode()) as server:
        yield server


@settings(deadline=None, max_examples=100)
@given(fields=ANY_FIELDS)
def test_any_fields(server: FuzzServer, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL, "prompt": "A"} | fields).encode())


@settings(deadline=None, max_examples=100)
@given(fields=NEARLY_RIGHT)
def test_nearly_right_fields(server: FuzzServer, fields: dict[str, Any]) -> None:
    server.check(json.dumps({"model": MODEL, "prompt": "A"} | fields).encode())


@settings(deadline=None, max_examples=60)
@given(raw=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(server: FuzzServer, raw: bytes) -> None:
    server.check(raw)
