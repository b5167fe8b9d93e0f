"""Messages and other fields: what is accepted, and what is refused by name."""

from typing import Any

import httpx
import pytest

from tests.server.byte_tokens import token_ids_of
from tests.server.endpoints.chat.wire import ask, refused
from tests.server.fake_engine import FakeEngine

HI = {"role": "user", "content": "Hi"}


def part(kind: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind, **fields}]}]


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "has 0 messages"),
        ([HI] * 2049, "has 2049 messages"),
        ("Hi", "list"),
        ([None], "dictionary"),
        ([{"content": "Hi"}], "role"),
        ([{"role": "bot", "content": "Hi"}], "role"),
        ([{"role": "function", "name": "f", "content": "Hi"}], "role"),
        ([{"role": "user"}], "must have content"),
        ([{"role": "user", "content": None}], "must have content"),
        ([{"role": "assistant", "content": None}], "must have content"),
        ([{"role": "user", "content": 7}], "must be a text"),
        ([{"role": "user", "content": []}], "must be a text"),
        (part("image_url", image_url={"url": "data:"}), "'image_url' are not supported"),
        (part("input_audio", input_audio={}), "'input_audio' are not supported"),
        (part("file", file={}), "'file' are not supported"),
        (part("text"), "must have a text"),
        (part("text", text=1), "must have a text"),
        ([{"role": "tool", "content": "7"}], "tool_call_id"),
        ([HI | {"tool_calls": [CALL]}], "cannot have tool_calls"),
        ([{"role": "assistant", "tool_calls": [{"id": "c"}]}], "function"),
        ([{"role": "assistant", "content": "a", "tool_calls": [CALL] * 129}], "the most is 128"),
        ([{"role": "assistant", "content": "a", "function_call": {"name": "f"}}], "function_call"),
        ([{"role": "assistant", "content": "a", "audio": {"id": "a"}}], "audio"),
        ([{"role": "user", "content": "a" * 9000}], "maximum context length"),
        ([{"role": "user", "content": "a" * 600}], "maximum context length"),
    ],
)
async def test_wrong_messages_are_refused(
    client: httpx.AsyncClient, messages: Any, reason: str
) -> None:
    error = await refused(client, messages=messages)
    assert error["param"] == "messages"
    assert reason in error["message"]
    assert len(error["message"]) < 2000


async def test_messages_are_required(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat/completions", json={"model": "fake/thinker"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"


async def test_every_role_and_form_of_content(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [
        {"role": "developer", "content": "D"},
        {"role": "system", "content": "S", "name": "ops"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "A", "refusal": None, "reasoning_content": "R"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]
    await ask(client, messages=messages, max_tokens=1)
    given = engine.render_calls[0]["messages"]
    assert [each["role"] for each in given] == [
        *("system", "system", "user", "assistant", "assistant", "tool"),
    ]
    assert [each["content"] for each in given] == ["D", "S", "a\nb", "A", "", ""]
    assert given[1]["name"] == "ops"
    assert all("reasoning_content" not in each for each in given)


async def test_the_end_of_the_prompt(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    messages = [HI, {"role": "assistant", "content": "Well"}]
    for fields in (
        {"continue_final_message": True},
        {"continue_final_message": True, "add_generation_prompt": False},
        {"add_generation_prompt": False},
        {"add_generation_prompt": True},
        {"add_special_tokens": True},
    ):
        await ask(client, messages=messages, max_tokens=1, **fields)
    ends = [
        (call["add_generation_prompt"], call["continue_final_message"])
        for call in engine.render_calls
    ]
    assert ends == [(False, True), (False, True), (False, False), (True, False), (True, False)]
    first, *_, last = engine.submitted
    assert last.prompt_token_ids[1:] == token_ids_of("user: Hi\nassistant: Well\nassistant: ")
    assert first.prompt_token_ids == token_ids_of("user: Hi\nassistant: Well")
    error = await refused(
        client, messages=messages, continue_final_message=True, add_generation_prompt=True
    )
    assert error["param"] == "continue_final_message"


async def test_only_known_switches_reach_the_template(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await ask(client, chat_template_kwargs={"enable_thinking": False}, max_tokens=1)
    assert engine.render_calls[0]["options"] == {"enable_thinking": False}
    assert engine.submitted[0].params.num_thought_tokens == 0
    for name in ("chat_template", "tokenize", "tools", "thinking"):
        error = await refused(client, chat_template_kwargs={name: True})
        assert error["param"] == "chat_template_kwargs"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"store": True}, "store"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "a", "format": "mp3"}}, "audio"),
        ({"prediction": {"type": "content", "content": "a"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"echo": True}, "echo"),
        ({"chat_template": "{{ 1 }}"}, "chat_template"),
        ({"documents": [{"text": "a"}]}, "documents"),
        ({"best_of": 2}, "best_of"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"thinking_token_budget": 5}, "thinking_token_budget"),
        ({"guided_json": {}}, "guided_json"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": True}, "top_logprobs"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_completion_tokens": True}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"metadata": []}, "metadata"),
        ({"request_id": "a b"}, "request_id"),
    ],
)
async def test_a_wrong_or_unsupported_field_is_refused_by_name(
    client: httpx.AsyncClient, fields: Any, param: str
) -> None:
    assert (await refused(client, **fields))["param"] == param


@pytest.mark.parametrize(
    "fields",
    [
        {"store": False, "service_tier": "auto", "modalities": ["text"], "audio": None},
        {"verbosity": "medium", "function_call": "none", "functions": [], "echo": False},
        {"metadata": {"a": "b"}, "user": "u", "prompt_cache_key": "k", "safety_identifier": "s"},
        {"response_format": {"type": "text"}, "parallel_tool_calls": True},
        {"logprobs": False, "top_logprobs": None, "tools": None, "tool_choice": None},
        {"max_tokens": None, "max_completion_tokens": None, "temperature": None, "n": None},
        {"best_of": 1, "documents": [], "prediction": None, "stream_options": None},
    ],
)
async def test_values_that_change_nothing_pass(client: httpx.AsyncClient, fields: Any) -> None:
    assert (await ask(client, **fields))["choices"]
