"""Messages and tools become a conversation, which the chat template gets."""

from typing import Any

import httpx
import pytest

from tests.server.endpoints.messages.wire import message, refused
from tests.server.fake_engine import FakeEngine

USER = {"role": "user", "content": "A"}
USE = {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "3"}
TEXT = {"type": "text", "text": "B"}


async def rendered(client: httpx.AsyncClient, engine: FakeEngine, **fields: Any) -> Any:
    """What the template gets."""
    await message(client, **fields)
    return engine.render_calls[-1]


@pytest.mark.parametrize("system", ["S", [{"type": "text", "text": "S"}]])
async def test_the_system_text_comes_first(
    client: httpx.AsyncClient, engine: FakeEngine, system: Any
) -> None:
    call = await rendered(client, engine, system=system)
    assert call["messages"] == [{"role": "system", "content": "S"}, USER]


async def test_blocks_of_text(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    cached = TEXT | {"cache_control": {"type": "ephemeral"}}
    call = await rendered(client, engine, messages=[{"role": "user", "content": [TEXT, cached]}])
    assert call["messages"] == [{"role": "user", "content": "B\nB"}]


async def test_a_last_message_of_the_assistant_is_continued(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    messages = [USER, {"role": "assistant", "content": "The answer is"}]
    call = await rendered(client, engine, messages=messages)
    assert (call["continue_final_message"], call["add_generation_prompt"]) == (True, False)


async def test_calls_results_and_thoughts(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    thinking = {"type": "thinking", "thinking": "hush", "signature": ""}
    messages = [
        USER,
        {"role": "assistant", "content": [thinking, TEXT, USE]},
        {"role": "user", "content": [RESULT, TEXT]},
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [RESULT | {"content": [TEXT]}]},
    ]
    call = await rendered(client, engine, messages=messages)
    sent = call["messages"]
    assert [each["role"] for each in sent] == [
        *("user", "assistant", "tool", "user", "assistant", "tool")
    ]
    assert [each["content"] for each in sent] == ["A", "B", "3", "B", "", "B"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1}}
    assert sent[2]["tool_call_id"] == "t1"
    assert "hush" not in str(call)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ({}, "role"),
        ({"role": "tool", "content": "x"}, "'tool'"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": ["x"]}, "content"),
        ({"role": "user", "content": [{"type": "image", "source": {}}]}, "image"),
        ({"role": "user", "content": [{"type": "document", "source": {}}]}, "document"),
        ({"role": "user", "content": [USE]}, "tool_use"),
        ({"role": "user", "content": [{"type": "tool_result"}]}, "tool_use_id"),
        ({"role": "assistant", "content": [USE | {"input": "x"}]}, "input"),
        ({"role": "assistant", "content": [USE | {"name": 3}]}, "name"),
        ({"role": "assistant", "content": [RESULT]}, "tool_result"),
    ],
)
async def test_what_cannot_be_read_is_named(
    client: httpx.AsyncClient, engine: FakeEngine, raw: Any, what: str
) -> None:
    error = await refused(client, messages=[USER, raw])
    assert "messages[1]" in error["message"]
    assert what in error["message"]
    assert engine.submitted == []


REFUSED: list[tuple[str, Any]] = [
    ("container", "c"),
    ("mcp_servers", [{"type": "url"}]),
    ("context_management", {"edits": []}),
    ("inference_geo", "us"),
    ("stop", ["x"]),
    ("response_format", {"type": "json_object"}),
    ("reasoning_effort", "low"),
    ("show_thoughts", True),
    ("include_reasoning", True),
    ("thought_top_logprobs", 2),
    ("show_passes", True),
    ("speed", "fast"),
    ("service_tier", "batch"),
    ("tools", [{"type": "web_search_20250305", "name": "web_search"}]),
    ("tool_choice", {"type": "any"}),
    ("tool_choice", {"type": "tool"}),
    ("thinking", {"type": "between_tools"}),
    ("thinking", {"type": "enabled"}),
    ("thinking", {"type": "enabled", "budget_tokens": 100}),
    ("thinking", {"type": "enabled", "budget_tokens": 20}),
    ("thinking", {"type": "adaptive", "budget_tokens": 60}),
    ("output_config", {"effort": "huge"}),
    ("output_config", {"format": {"type": "xml"}}),
    ("stop_sequences", [""]),
    ("stop_sequences", ["x"] * 40),
    ("system", [{"type": "image"}]),
    ("metadata", {"user_id": 3}),
    ("custom_logit_processor", "x"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
async def test_what_cannot_be_honoured_is_refused_by_name(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: Any,
) -> None:
    error = await refused(client, **{name: value})
    assert name in error["message"]
    assert len(error["message"]) < 800
    assert engine.submitted == []
    assert "ignoring" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name, _ in REFUSED),
        ("cache_control", {"type": "ephemeral"}),
        ("speed", "standard"),
        ("tool_choice", {"type": "auto"}),
        ("a_field_from_the_future", 3),
    ],
)
async def test_what_changes_nothing_is_accepted(
    client: httpx.AsyncClient, name: str, value: Any
) -> None:
    assert (await message(client, **{name: value}))["stop_reason"] == "end_turn"
