"""Tools: what the model sees, and its calls in whole and streamed answers."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion

from qstar_infer.structured_outputs import StructuredOutputs
from tests.server.byte_tokens import EOS, token_ids_of
from tests.server.conversation.tool_calls.templates import CHATML, LLAMA_3_1, QWEN_2_5, QWEN_3_CODER
from tests.server.endpoints.chat.wire import ask, joined, refused, stream, without_ids
from tests.server.fake_engine import FakeEngine

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks at a place",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}
ADD = {"type": "function", "function": {"name": "add"}}
CALLS = (
    'I see.\n<tool_call>\n{"name": "look", "arguments": {"at": "Zürich"}}\n</tool_call>\n'
    '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
)
SHAPES: list[dict[str, Any]] = [
    {},
    {"n": 2},
    {"logprobs": True},
    {"parallel_tool_calls": False},
    {"show_thoughts": True, "include_reasoning": True},
    {"tool_choice": "auto"},
]


def say(engine: FakeEngine, text: str, template: str = QWEN_2_5) -> None:
    engine.script = [*token_ids_of(text), EOS]
    engine.model = replace(engine.model, chat_template=template, max_model_len=2048)


@pytest.fixture(autouse=True)
def _calling(engine: FakeEngine) -> None:
    say(engine, CALLS)


async def test_calls_have_openais_form(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    whole = await ask(client, tools=[LOOK, ADD])
    choice = whole["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] == "I see."
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "look", "arguments": '{"at": "Zürich"}'},
        {"name": "add", "arguments": "{}"},
    ]
    ids = [call["id"] for call in message["tool_calls"]]
    assert all(each.startswith("call_") for each in ids)
    assert len(set(ids)) == 2
    assert engine.render_calls[0]["tools"] == [LOOK, ADD]
    ChatCompletion.model_validate(whole, strict=True)


@pytest.mark.parametrize("fields", SHAPES)
@pytest.mark.parametrize(
    "text", [CALLS, "Hello", "<tool_call>{", CALLS[7:], '<tool_call>{"name": "x"}</tool_call> a']
)
async def test_a_stream_with_tools_adds_up_to_the_whole_answer(
    client: httpx.AsyncClient, engine: FakeEngine, text: str, fields: dict[str, Any]
) -> None:
    say(engine, text)
    whole = await ask(client, tools=[LOOK, ADD], **fields)
    choices = joined(await stream(client, tools=[LOOK, ADD], **fields))
    for choice in whole["choices"]:
        assert without_ids(choices[choice["index"]]) == without_ids(choice)


async def test_no_part_of_a_marker_is_streamed(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, tools=[LOOK, ADD])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    contents = [delta["content"] for delta in deltas if "content" in delta]
    assert contents[0] == ""
    assert all(contents[1:]), "a chunk without text would be an event without news"
    assert "".join(contents) == "I see."
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0, 1]
    assert json.loads(calls[0]["function"]["arguments"]) == {"at": "Zürich"}


async def test_without_parallel_calls_there_is_one(client: httpx.AsyncClient) -> None:
    whole = await ask(client, tools=[LOOK, ADD], parallel_tool_calls=False)
    assert len(whole["choices"][0]["message"]["tool_calls"]) == 1


async def test_an_answer_that_is_only_calls_has_no_content(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    say(engine, CALLS.removeprefix("I see.\n"))
    message = (await ask(client, tools=[LOOK, ADD]))["choices"][0]["message"]
    assert message["content"] is None
    assert len(message["tool_calls"]) == 2


async def test_malformed_calls_stay_content(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    text = '<tool_call>\n{"name": "look", "arguments": {"at": </tool_call>'
    say(engine, text)
    (choice,) = (await ask(client, tools=[LOOK]))["choices"]
    assert choice["message"] == {"role": "assistant", "content": text, "refusal": None}
    assert choice["finish_reason"] == "stop"


async def test_a_call_that_is_cut_off_is_no_call(client: httpx.AsyncClient) -> None:
    (choice,) = (await ask(client, tools=[LOOK], max_tokens=40))["choices"]
    assert choice["message"]["content"] == CALLS[:40]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "length"


async def test_llamas_format(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    say(engine, '{"name": "look", "parameters": {"at": "x"}}', LLAMA_3_1)
    (choice,) = (await ask(client, tools=[LOOK]))["choices"]
    assert choice["message"]["tool_calls"][0]["function"] == {
        "name": "look",
        "arguments": '{"at": "x"}',
    }


async def test_with_the_choice_none_nothing_is_a_call(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    (choice,) = (await ask(client, tools=[LOOK, ADD], tool_choice="none"))["choices"]
    assert choice["message"]["content"] == CALLS
    assert engine.render_calls[0]["tools"] == []


async def test_without_tools_nothing_is_a_call(client: httpx.AsyncClient) -> None:
    shapes: list[dict[str, Any]] = [{}, {"tools": []}, {"tools": None, "tool_choice": "auto"}]
    for fields in shapes:
        assert (await ask(client, **fields))["choices"][0]["message"]["content"] == CALLS


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
async def test_a_call_that_must_come_is_a_constraint(
    client: httpx.AsyncClient, engine: FakeEngine, choice: Any
) -> None:
    await ask(client, tools=[LOOK, ADD], tool_choice=choice)
    form = engine.submitted[0].params.structured_outputs
    assert isinstance(form, StructuredOutputs)
    assert form.grammar is not None
    assert (r"\"add\"" in form.grammar) == (choice == "required")


async def test_a_conversation_with_results_reaches_the_template(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "look", "arguments": '{"at": "x"}'},
    }
    messages = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "ignored"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "7"}]},
    ]
    await ask(client, messages=messages, tools=[LOOK])
    _, assistant, tool = engine.render_calls[0]["messages"]
    assert assistant == {
        "role": "assistant",
        "content": "",
        "tool_calls": [call | {"function": {"name": "look", "arguments": {"at": "x"}}}],
    }
    assert tool == {"role": "tool", "content": "7", "tool_call_id": "call_1"}


def function(**fields: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f"} | fields}]


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"tools": function(name="a b")}, "tools", "1 to 64"),
        ({"tools": function(name="")}, "tools", "1 to 64"),
        ({"tools": function(parameters=[])}, "tools", "dictionary"),
        ({"tools": function(description=1)}, "tools", "string"),
        ({"tools": function() * 2}, "tools", "two tools have the name 'f'"),
        ({"tools": function() * 129}, "tools", "the most is 128"),
        ({"tools": function(description="a" * 70_000)}, "tools", "characters of JSON"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools", "function"),
        ({"tools": [{"type": "web_search"}]}, "tools", "function"),
        ({"tools": {}}, "tools", "list"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"tools": function(), "tool_choice": "any"}, "tool_choice", "'any'"),
        (
            {
                "tools": function(),
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            "tool_choice",
            "names 'g'",
        ),
        ({"tools": function(), "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "auto"),
        ({"functions": [{"name": "f"}]}, "functions", "tools"),
        ({"function_call": {"name": "f"}}, "function_call", "tool_choice"),
        (
            {
                "tools": function(),
                "tool_choice": "required",
                "response_format": {"type": "json_object"},
            },
            "response_format",
            "tool_choice",
        ),
    ],
)
async def test_wrong_tools_are_refused(
    client: httpx.AsyncClient, fields: Any, param: str, reason: str
) -> None:
    error = await refused(client, **fields)
    assert error["param"] == param
    assert reason in error["message"]
    assert len(error["message"]) < 2000


@pytest.mark.parametrize(
    ("template", "why"), [(CHATML, "takes no tools"), (QWEN_3_CODER, "shows no format")]
)
async def test_a_model_that_cannot_call_says_so(
    client: httpx.AsyncClient, engine: FakeEngine, template: str, why: str
) -> None:
    say(engine, "Hello", template)
    error = await refused(client, tools=[LOOK])
    assert error["param"] == "tools"
    assert why in error["message"]
    assert (await ask(client, tools=[LOOK], tool_choice="none"))["choices"]
