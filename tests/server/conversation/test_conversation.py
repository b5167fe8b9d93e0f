"""Conversations: content, limits, and what the chat template gets."""

from dataclasses import replace
from typing import Any

import pytest
from qstar_server.conversation.conversation import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Conversation,
    Message,
    Tool,
    ToolCall,
    encode_conversation,
    text_of_content,
)

from qstar_infer.errors import ContextLengthError, RequestError
from tests.server.byte_tokens import token_ids_of
from tests.server.fake_engine import FakeEngine

HELLO = Message(role="user", content="Hello")


def encode(engine: FakeEngine, *messages: Message, **fields: Any) -> list[int]:
    conversation = Conversation(messages=messages, **fields)
    return encode_conversation(engine, conversation, param="input")


def test_content_is_text_or_parts_of_text() -> None:
    assert text_of_content("a") == "a"
    assert text_of_content("") == ""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert text_of_content(parts) == "a\nb"
    assert text_of_content([{"type": "x", "text": "a"}], part_types=("x",)) == "a"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "must be a text"),
        (7, "must be a text"),
        ([], "must be a text"),
        (["a"], "each part must be an object"),
        ([{"text": "a"}], "each part must be an object with a type"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "'image_url' are not supported"),
        ([{"type": "input_audio"}], "'input_audio' are not supported"),
        ([{"type": "text"}], "must have a text"),
    ],
)
def test_other_content_is_refused(content: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        text_of_content(content)


def test_the_prompt_is_what_the_template_renders(engine: FakeEngine) -> None:
    assert encode(engine, HELLO) == token_ids_of("user: Hello\nassistant: ")
    assert encode(engine, HELLO, add_generation_prompt=False) == token_ids_of("user: Hello")


def test_a_template_gets_messages_and_tools_as_transformers_passes_them(
    engine: FakeEngine,
) -> None:
    call = ToolCall(id="call_1", name="look", arguments='{"at": [1]}')
    empty = ToolCall(id="call_2", name="look", arguments="")
    encode(
        engine,
        Message(role="assistant", content="", tool_calls=(call, empty)),
        Message(role="tool", content="7", tool_call_id="call_1", name="look"),
        tools=[Tool(name="look", description="Looks", parameters={"type": "object"})],
        template_options={"enable_thinking": False},
    )
    (given,) = engine.render_calls
    assistant, tool = given["messages"]
    assert assistant["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "look", "arguments": {"at": [1]}},
        },
        {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": {}}},
    ]
    assert tool == {"role": "tool", "content": "7", "tool_call_id": "call_1", "name": "look"}
    assert given["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "Looks",
                "parameters": {"type": "object"},
            },
        }
    ]
    assert given["options"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("template", "role"), [("{{ a template }}", "system"), ("if developer", "developer")]
)
def test_a_developer_is_the_system_of_older_templates(
    engine: FakeEngine, template: str, role: str
) -> None:
    engine.model = replace(engine.model, chat_template=template)
    encode(engine, Message(role="developer", content="Be brief."), HELLO)
    assert engine.render_calls[0]["messages"][0]["role"] == role


@pytest.mark.parametrize("arguments", ["{", "[]", "1", "null", "[" * 100_000])
def test_arguments_of_a_call_are_an_object(engine: FakeEngine, arguments: str) -> None:
    engine.model = replace(engine.model, max_model_len=100_000)
    call = ToolCall(id="call_1", name="look", arguments=arguments)
    with pytest.raises(RequestError, match="arguments of the tool call 'call_1'") as caught:
        encode(engine, Message(role="assistant", content="", tool_calls=(call,)))
    assert caught.value.param == "input"


def test_sizes_are_checked_before_the_template_runs(engine: FakeEngine) -> None:
    """A long text cannot fit the context; rendering and tokenising it would only cost time."""
    long = "a" * (16 * engine.model.max_model_len + 1)
    call = ToolCall(id="c", name="f", arguments=long)
    for message in (
        Message(role="user", content=long),
        Message(role="user", content="", name=long),
        Message(role="tool", content="", tool_call_id=long),
        Message(role="assistant", content="", tool_calls=(call,)),
    ):
        with pytest.raises(ContextLengthError, match="characters") as caught:
            encode(engine, message)
        assert caught.value.param == "input"
    with pytest.raises(RequestError, match="is empty"):
        encode(engine)
    with pytest.raises(RequestError, match=f"the most is {MAX_MESSAGES}"):
        encode(engine, *[HELLO] * (MAX_MESSAGES + 1))
    with pytest.raises(RequestError, match=f"the most is {MAX_TOOLS}"):
        encode(engine, HELLO, tools=[Tool(name=f"f{i}") for i in range(MAX_TOOLS + 1)])
    with pytest.raises(RequestError, match="characters of JSON"):
        encode(engine, HELLO, tools=[Tool(name="f", description="a" * 100_000)])
    with pytest.raises(RequestError, match="two tools have the name 'f'"):
        encode(engine, HELLO, tools=[Tool(name="f"), Tool(name="f")])
    assert not engine.render_calls


def test_a_rendering_that_cannot_fit_is_not_tokenised(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "render_chat", lambda *_, **__: "a" * 1_000_000)
    with pytest.raises(ContextLengthError):
        encode(engine, HELLO)
    assert not engine.encode_calls


def test_a_model_without_a_template_names_the_other_endpoint(engine: FakeEngine) -> None:
    engine.model = replace(engine.model, chat_template=None)
    with pytest.raises(RequestError, match="/v1/completions"):
        encode(engine, HELLO)


def test_a_template_without_tool_calls_would_lose_them(engine: FakeEngine) -> None:
    engine.model = replace(engine.model, chat_template="{{ messages[0].content }}")
    call = ToolCall(id="call_1", name="look", arguments="{}")
    with pytest.raises(RequestError, match="cannot show tool calls") as caught:
        encode(engine, HELLO, Message(role="assistant", content="", tool_calls=(call,)))
    assert caught.value.param == "input"


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "é", "a\n"])
def test_names_of_tools_are_openais(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        Tool(name=name)


def test_parameters_of_tools_are_objects() -> None:
    objects: list[dict[str, Any] | None] = [None, {}, {"properties": {}}, {"type": "object"}]
    for parameters in objects:
        assert Tool(name="f", parameters=parameters).parameters == parameters
    with pytest.raises(ValueError, match="of type object, got the type 'string'"):
        Tool(name="f", parameters={"type": "string"})
