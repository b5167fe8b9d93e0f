"""Tools of the responses endpoint: what the model sees, and its calls as items."""

from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.server.byte_tokens import EOS, token_ids_of
from tests.server.conversation.tool_calls.templates import QWEN_2_5
from tests.server.endpoints.responses.wire import of_type, refused, respond, same, stream
from tests.server.fake_engine import MODEL, FakeEngine

ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "strict": True,
}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


@pytest.fixture(autouse=True)
def template(engine: FakeEngine) -> None:
    engine.model = replace(engine.model, chat_template=QWEN_2_5)


def say(engine: FakeEngine, text: str) -> None:
    engine.script = [*token_ids_of(text), EOS]


async def test_a_call_is_an_item(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    say(engine, CALL)
    response = await respond(client, tools=[ADD])
    (call,) = response["output"]
    assert call["id"].startswith("fc_")
    assert call["call_id"].startswith("call_")
    assert (call["name"], call["arguments"]) == ("add", '{"a": 1}')
    assert (call["status"], response["status"]) == ("completed", "completed")
    assert response["tools"] == [ADD]
    assert engine.render_calls[0]["tools"][0]["function"]["name"] == "add"


async def test_the_events_of_a_call(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    say(engine, CALL)
    events = await stream(client, tools=[ADD])
    assert [event["type"].removeprefix("response.") for event in events] == [
        *("created", "in_progress", "output_item.added"),
        *("function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "completed"),
    ]
    assert events[2]["item"]["arguments"] == ""


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (CALL, ["function_call"]),
        (f"I add.\n{CALL}", ["message", "function_call"]),
        (f"{CALL}\n{CALL}", ["function_call", "function_call"]),
        (f"{CALL}\nDone.", ["function_call", "message"]),
        (f"A {CALL} B {CALL} C", ["message", "function_call"] * 2 + ["message"]),
        ('<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>', ["message"]),
        (f"{CALL[:-6]}", ["message"]),
        ("", ["message"]),
    ],
)
@pytest.mark.parametrize("has_reasoning", [False, True])
async def test_text_and_calls_keep_their_order_in_stream_and_whole(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    text: str,
    types: list[str],
    has_reasoning: bool,
) -> None:
    say(engine, text)
    fields: dict[str, Any] = {"tools": [ADD], "include_reasoning": has_reasoning}
    whole = await respond(client, **fields)
    assert [item["type"] for item in whole["output"]] == ["reasoning"] * has_reasoning + types
    events = await stream(client, **fields)
    last = events[-1]["response"]
    assert same(last) == same(whole)
    done = of_type(events, "output_item.done")
    assert sorted(each["output_index"] for each in done) == list(range(len(last["output"])))
    assert {str(each["item"]) for each in done} == {str(item) for item in last["output"]}


async def test_one_call_where_they_may_not_be_parallel(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    say(engine, f"{CALL}\n{CALL}")
    response = await respond(client, tools=[ADD], parallel_tool_calls=False)
    assert len(response["output"]) == 1
    assert response["parallel_tool_calls"] is False


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "add"}])
async def test_a_call_can_be_demanded(
    client: httpx.AsyncClient, engine: FakeEngine, choice: Any
) -> None:
    say(engine, CALL)
    response = await respond(client, tools=[ADD], tool_choice=choice)
    form = engine.submitted[0].params.structured_outputs
    assert form is not None
    assert response["tool_choice"] == choice


async def test_no_tools_for_a_model_that_must_not_call(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    say(engine, CALL)
    response = await respond(client, tools=[ADD], tool_choice="none")
    assert engine.render_calls[0]["tools"] == []
    assert [item["type"] for item in response["output"]] == ["message"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("tools", {"tools": [ADD | {"name": "a b"}]}),
        ("tools", {"tools": [ADD, ADD]}),
        ("tools", {"tools": [{"type": "mcp", "server_label": "x"}]}),
        ("tools", {"tools": [ADD] * 200}),
        ("tool_choice", {"tools": [ADD], "tool_choice": {"type": "function", "name": "sub"}}),
        ("tool_choice", {"tools": [ADD], "tool_choice": {"type": "allowed_tools"}}),
        ("include", {"tools": [ADD], "include": ["message.output_text.logprobs"]}),
        (
            "tool_choice",
            {
                "tools": [ADD],
                "tool_choice": "required",
                "text": {"format": {"type": "json_object"}},
            },
        ),
    ],
)
async def test_what_is_refused(client: httpx.AsyncClient, name: str, fields: Any) -> None:
    assert (await refused(client, **fields))["param"] == name


async def test_a_template_without_tools_says_so(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.model = replace(engine.model, chat_template="{{ messages }}")
    error = await refused(client, tools=[ADD])
    assert error["param"] == "tools"
    assert "chat template" in error["message"]


class add(BaseModel):  # noqa: N801 - its name is the tool's
    """Adds two numbers."""

    a: int


def test_the_official_client_parses_calls(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    say(engine, f"I add.\n{CALL}")
    tool: Any = openai.pydantic_function_tool(add)["function"] | {"type": "function"}
    with openai_client.responses.stream(model=MODEL, input="Hi", tools=[tool]) as events:
        deltas = [
            event.snapshot
            for event in events
            if event.type == "response.function_call_arguments.delta"
        ]
        response = events.get_final_response()
    assert deltas == ['{"a": 1}']
    message, call = response.output
    assert (message.type, response.output_text) == ("message", "I add.")
    assert call.type == "function_call"
    assert call.arguments == '{"a": 1}'
