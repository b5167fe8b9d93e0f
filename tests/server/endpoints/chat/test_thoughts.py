"""Thoughts in chat: shown where they are asked for, as entries or as text, and nowhere else."""

from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.endpoints.chat.wire import ask, refused, stream
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.scripted_output import THOUGHT_TEXT

REASONING = "zqz\nzqz\nzqz"


async def test_reasoning_has_both_names(client: httpx.AsyncClient) -> None:
    whole = await ask(client, include_reasoning=True, max_tokens=3)
    message = whole["choices"][0]["message"]
    assert message["reasoning"] == message["reasoning_content"] == REASONING
    assert "thoughts" not in whole["choices"][0]
    chunks = await stream(client, include_reasoning=True, max_tokens=3)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for name in ("reasoning", "reasoning_content"):
        assert [delta.get(name) for delta in deltas] == [None, "zqz", "\nzqz", "\nzqz", None]


async def test_an_answer_without_thoughts_has_null_as_reasoning(client: httpx.AsyncClient) -> None:
    whole = await ask(client, include_reasoning=True, reasoning_effort="none")
    assert whole["choices"][0]["message"]["reasoning"] is None
    assert whole["choices"][0]["message"]["reasoning_content"] is None


async def test_shown_thoughts_have_an_entry_for_each_token(client: httpx.AsyncClient) -> None:
    whole = await ask(client, show_thoughts=True, max_tokens=2)
    choice = whole["choices"][0]
    assert [each["thought"] for each in choice["thoughts"]] == ["zqz", "zqz"]
    assert set(choice["thoughts"][0]) == {
        *("thought", "thought_token_ids", "mixing_weight", "token", "token_id"),
        *("logprob", "base_logprob"),
    }
    assert "reasoning" not in choice["message"]
    chunks = await stream(client, show_thoughts=True, max_tokens=2)
    entries = [len(chunk["choices"][0].get("thoughts", [])) for chunk in chunks]
    assert entries == [0, 1, 1, 0]


@pytest.mark.parametrize(
    "fields",
    [{}, {"show_thoughts": False}, {"include_reasoning": False}, {"include_reasoning": None}],
)
async def test_thoughts_appear_nowhere_unasked(
    client: httpx.AsyncClient, engine: FakeEngine, fields: Any
) -> None:
    given = {"logprobs": True, "top_logprobs": 5, "return_token_ids": True} | fields
    for is_stream in (False, True):
        body = {"model": engine.model.name, "messages": [{"role": "user", "content": "A"}]}
        options = {"stream_options": {"include_usage": True}} if is_stream else {}
        answer = await client.post(
            "/v1/chat/completions", json=body | given | {"stream": is_stream} | options
        )
        assert answer.status_code == 200
        assert THOUGHT_TEXT not in answer.text
        assert '"thought' not in answer.text
        assert '"reasoning"' not in answer.text
    assert not any(request.show_thoughts for request in engine.submitted)


async def test_thought_tokens_are_counted_even_so(client: httpx.AsyncClient) -> None:
    usage = (await ask(client, max_tokens=4))["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 12}


@pytest.mark.parametrize("name", ["show_thoughts", "include_reasoning"])
async def test_the_operator_can_forbid_both(engine: FakeEngine, name: str) -> None:
    async with serving(engine, ServerConfig(allow_thoughts=False)) as client:
        for is_stream in (False, True):
            error = await refused(client, 403, stream=is_stream, **{name: True})
            assert (error["param"], error["code"]) == (name, "thoughts_forbidden")
        assert (await ask(client, **{name: False}))["choices"]


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, 0),
        ({"reasoning_effort": "minimal"}, 1),
        ({"reasoning_effort": "low"}, 2),
        ({"reasoning_effort": "high"}, None),
        ({"reasoning_effort": "low", "num_thought_tokens": 5}, 5),
    ],
)
async def test_effort_chooses_the_thought_length(
    client: httpx.AsyncClient, engine: FakeEngine, fields: Any, length: int | None
) -> None:
    await ask(client, **fields)
    assert engine.submitted[0].params.num_thought_tokens == length


async def test_the_operator_chooses_the_efforts(engine: FakeEngine) -> None:
    async with serving(engine, ServerConfig(reasoning_efforts={"high": 2.0})) as client:
        await ask(client, reasoning_effort="high")
    assert engine.submitted[0].params.num_thought_tokens == 6
