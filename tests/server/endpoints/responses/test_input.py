"""The items of `input` become a conversation, which the chat template gets."""

from typing import Any

import httpx
import pytest

from tests.server.endpoints.responses.wire import refused, respond
from tests.server.fake_engine import FakeEngine

CALL = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "3"}


async def rendered(client: httpx.AsyncClient, engine: FakeEngine, **fields: Any) -> Any:
    """The messages that the template gets."""
    await respond(client, **fields)
    return engine.render_calls[-1]["messages"]


@pytest.mark.parametrize(
    "given",
    [
        "Hi",
        [{"role": "user", "content": "Hi"}],
        [{"role": "user", "content": "Hi", "type": "message"}],
        [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        [{"role": "user", "content": "Hi", "id": "msg_1", "status": "completed"}],
    ],
)
async def test_forms_of_a_users_message(
    client: httpx.AsyncClient, engine: FakeEngine, given: Any
) -> None:
    assert await rendered(client, engine, input=given) == [{"role": "user", "content": "Hi"}]


async def test_instructions_come_first(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    given = [{"role": "developer", "content": "B"}, {"role": "user", "content": "C"}]
    messages = await rendered(client, engine, input=given, instructions="A")
    assert [(each["role"], each["content"]) for each in messages] == [
        ("system", "A"),
        ("system", "B"),
        ("user", "C"),
    ]


async def test_an_earlier_output_can_be_sent_back_as_it_came(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """What stateless clients do: the output becomes input, with its thoughts and ids."""
    first = await respond(client, include_reasoning=True)
    assert [item["type"] for item in first["output"]] == ["reasoning", "message"]
    given = [{"role": "user", "content": "A"}, *first["output"], {"role": "user", "content": "B"}]
    messages = await rendered(client, engine, input=given)
    text = first["output"][1]["content"][0]["text"]
    assert [each["content"] for each in messages] == ["A", text, "B"]
    assert [each["role"] for each in messages] == ["user", "assistant", "user"]


async def test_calls_and_their_results(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    other = CALL | {"call_id": "c2", "arguments": "{}"}
    parts = [{"type": "input_text", "text": "4"}]
    given = [
        {"role": "user", "content": "A"},
        {"role": "assistant", "content": "B"},
        *(CALL, other, OUTPUT, OUTPUT | {"call_id": "c2", "output": parts}, CALL),
    ]
    messages = await rendered(client, engine, input=given)
    assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c1", "c2"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1}}
    assert [(each["content"], each["tool_call_id"]) for each in messages[2:4]] == [
        ("3", "c1"),
        ("4", "c2"),
    ]
    assert messages[4]["content"] == ""


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "item_reference"),
        ({"type": "web_search_call", "id": "ws_1"}, "web_search_call"),
        ({"type": "computer_call_output", "call_id": "c"}, "computer_call_output"),
        ({}, "None"),
        ({"type": 3}, "3"),
        ({"role": "tool", "content": "x"}, "'tool'"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}, "input_image"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}, "input_file"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input_text"),
        ({"role": "user", "content": ["x"]}, "content"),
        (CALL | {"arguments": {"a": 1}}, "arguments"),
        (CALL | {"arguments": "[1]"}, "arguments"),
        (CALL | {"call_id": None}, "call_id"),
        (CALL | {"name": ""}, "name"),
        (OUTPUT | {"output": None}, "output"),
    ],
)
async def test_what_cannot_be_read_is_named(
    client: httpx.AsyncClient, engine: FakeEngine, item: Any, what: str
) -> None:
    error = await refused(client, input=[{"role": "user", "content": "A"}, item])
    assert error["param"] == "input"
    assert what in error["message"]
    assert len(error["message"]) < 500
    assert engine.submitted == []


@pytest.mark.parametrize("given", [[], 3, None, [3], {"role": "user"}, [{"role": "user"}] * 3000])
async def test_what_is_no_input(client: httpx.AsyncClient, given: Any) -> None:
    error = await refused(client, input=given)
    assert error["param"] == "input"


async def test_an_input_is_needed(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/responses", json={"model": "fake/thinker"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "input"


async def test_an_input_that_is_too_long_has_openais_code(client: httpx.AsyncClient) -> None:
    for text in ("a" * 600, "a" * 20_000):
        error = await refused(client, input=text)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
        assert "maximum context length" in error["message"]
