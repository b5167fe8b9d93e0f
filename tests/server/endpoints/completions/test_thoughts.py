"""Thoughts: shown on request, the same streamed or not, and nowhere else."""

import json
import logging
from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.thinking_rule import ThinkingRule
from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server
from tests.server.scripted_output import THOUGHT_TEXT, logprob_of
from tests.server.wire import body, complete, error_of, joined, refused, stream


async def test_one_thought_for_each_visible_token(client: httpx.AsyncClient) -> None:
    whole = await complete(client, show_thoughts=True, max_tokens=4)
    thoughts = whole["choices"][0]["thoughts"]
    assert len(thoughts) == whole["usage"]["completion_tokens"] == 4
    assert thoughts[0] == {
        "thought": "zqz",
        "thought_token_ids": [122, 113, 122],
        "mixing_weight": 0.5,
        "token": "H",
        "token_id": 72,
        "logprob": logprob_of(72, 0),
        "base_logprob": logprob_of(72, 0) - 0.5,
    }


async def test_chunks_carry_the_thoughts_of_their_own_tokens(client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"show_thoughts": True, "max_tokens": 6, "n": 2, "prompt": ["A", "B"]}
    chunks = await stream(client, **fields)
    assert all(len(chunk["choices"][0]["thoughts"]) == 1 for chunk in chunks)
    whole = await complete(client, **fields)
    assert [joined(chunks)[i]["thoughts"] for i in range(4)] == [
        choice["thoughts"] for choice in whole["choices"]
    ]


@pytest.mark.parametrize("fields", [{}, {"show_thoughts": False}, {"show_thoughts": None}])
async def test_thoughts_are_nowhere_unless_asked_for(
    client: httpx.AsyncClient, fields: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fields = fields | {"max_tokens": 100, "logprobs": 5, "echo": True, "return_token_ids": True}
    answers = [await complete(client, **fields), await stream(client, **fields)]
    text = json.dumps(answers) + caplog.text
    assert THOUGHT_TEXT not in text
    for name in ("thoughts", "mixing_weight", "base_logprob"):
        assert name not in text


async def test_reasoning_tokens_are_not_completion_tokens(
    client: httpx.AsyncClient,
) -> None:
    usage = (await complete(client, max_tokens=5, num_thought_tokens=4))["usage"]
    assert usage["completion_tokens"] == 5
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 20}


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({}, None),
        ({"num_thought_tokens": 0}, 0),
        ({"num_thought_tokens": 5}, 5),
        ({"reasoning_effort": "none"}, 0),
        ({"reasoning_effort": "none", "num_thought_tokens": 0}, 0),
        ({"reasoning_effort": "minimal"}, 1),
        ({"reasoning_effort": "low"}, 2),
        ({"reasoning_effort": "medium"}, None),
        ({"reasoning_effort": "high"}, None),
        ({"reasoning_effort": "minimal", "num_thought_tokens": 2}, 2),
        ({"chat_template_kwargs": {"enable_thinking": False}}, 0),
        ({"chat_template_kwargs": {"enable_thinking": True}}, None),
        ({"chat_template_kwargs": {}}, None),
    ],
)
async def test_thought_length_and_its_aliases(
    client: httpx.AsyncClient, engine: FakeEngine, fields: Any, length: int | None
) -> None:
    await complete(client, **fields)
    assert engine.submitted[0].params.num_thought_tokens == length


async def test_a_token_without_a_thought_has_an_empty_one(client: httpx.AsyncClient) -> None:
    """The script begins with H and é, whose bytes are 72 and 195, 169."""
    fields: dict[str, Any] = {"thinking": {"where": "behind", "tokens": [72, 169]}}
    fields |= {"show_thoughts": True, "max_tokens": 5, "prompt": "A"}
    whole = await complete(client, **fields)
    thoughts = whole["choices"][0]["thoughts"]
    assert [each["token_id"] for each in thoughts] == [72, 195, 169, 32, 240]
    assert [each["thought"] for each in thoughts] == ["", "zqz", "", "zqz", ""]
    assert [len(each["thought_token_ids"]) for each in thoughts] == [0, 3, 0, 3, 0]
    assert [each["mixing_weight"] for each in thoughts] == [0, 0.5, 0, 0.5, 0]
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 6}
    chunks = await stream(client, **fields)
    assert joined(chunks)[0]["thoughts"] == thoughts


async def test_a_null_rule_is_the_checkpoints(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await complete(client, thinking=None)
    await complete(client, thinking={"where": "everywhere", "tokens": None})
    assert [each.params.thinking for each in engine.submitted] == [None, ThinkingRule()]


@pytest.mark.parametrize("is_shown", [None, False, True])
async def test_the_engine_decodes_thoughts_only_where_they_are_shown(
    client: httpx.AsyncClient, engine: FakeEngine, is_shown: bool | None
) -> None:
    """Every thought was decoded for every client, on the engine's thread."""
    await complete(client, show_thoughts=is_shown, max_tokens=1)
    assert engine.submitted[0].show_thoughts == bool(is_shown)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"num_thought_tokens": 9}, "num_thought_tokens"),
        ({"num_thought_tokens": -1}, "num_thought_tokens"),
        ({"num_thought_tokens": True}, "num_thought_tokens"),
        ({"num_thought_tokens": 2.0}, "num_thought_tokens"),
        ({"num_thought_tokens": 2, "reasoning_effort": "none"}, "num_thought_tokens"),
        ({"thought_temperature": 2.1}, "thought_temperature"),
        ({"think_threshold": 1.1}, "think_threshold"),
        ({"reasoning_effort": "some"}, "reasoning_effort"),
        ({"chat_template_kwargs": {"thinking": False}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": 0}}, "chat_template_kwargs"),
        ({"show_thoughts": 1}, "show_thoughts"),
        ({"thinking_token_budget": 100}, "thinking_token_budget"),
    ],
)
async def test_a_wrong_thought_setting_is_refused(
    client: httpx.AsyncClient, fields: Any, param: str
) -> None:
    assert (await refused(client, **fields))["param"] == param


@pytest.fixture
def closed_live(engine: FakeEngine) -> Any:
    server = start_server(engine, ServerConfig(allow_thoughts=False, drain_grace_s=0))
    yield server
    server.stop()


@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_operator_can_forbid_thoughts(closed_live: LiveServer, is_streamed: bool) -> None:
    url = f"{closed_live.url}/v1/completions"
    fields = body(show_thoughts=True, stream=is_streamed)
    response = httpx.post(url, json=fields)
    assert response.status_code == 403
    error = error_of(response)
    assert (error["param"], error["code"]) == ("show_thoughts", "thoughts_forbidden")
    assert httpx.post(url, json=fields | {"show_thoughts": False}).status_code == 200
