"""Tools of the messages endpoint: what the model sees, and its calls as blocks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import pytest

from tests.server.byte_tokens import EOS, token_ids_of
from tests.server.conversation.tool_calls.templates import QWEN_2_5
from tests.server.endpoints.messages.wire import joined, message, refused, same, stream
from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.live_server import LiveServer

ADD: Any = {
    "name": "add",
    "description": "Adds two numbers.",
    "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


@pytest.fixture(autouse=True)
def template(engine: FakeEngine) -> None:
    engine.model = replace(engine.model, chat_template=QWEN_2_5)


@pytest.fixture
def anthropic_client(live: LiveServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=live.url, api_key="none", max_retries=0) as client:
        yield client


def say(engine: FakeEngine, text: str) -> None:
    engine.script = [*token_ids_of(text), EOS]


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (CALL, ["tool_use"]),
        (f"I add.\n{CALL}", ["text", "tool_use"]),
        (f"{CALL}\n{CALL}", ["tool_use", "tool_use"]),
        (f"A {CALL} B {CALL} C", ["text", "tool_use", "text", "tool_use", "text"]),
    ],
)
async def test_calls_are_blocks_in_their_order(
    client: httpx.AsyncClient, engine: FakeEngine, text: str, types: list[str]
) -> None:
    say(engine, text)
    whole = await message(client, tools=[ADD], max_tokens=400)
    assert [block["type"] for block in whole["content"]] == types
    assert whole["stop_reason"] == "tool_use"
    call = next(block for block in whole["content"] if block["type"] == "tool_use")
    assert call["id"].startswith("toolu_")
    assert (call["name"], call["input"]) == ("add", {"a": 1})
    assert same(joined(await stream(client, tools=[ADD], max_tokens=400))) == same(whole)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "add"}])
async def test_a_call_can_be_demanded(
    client: httpx.AsyncClient, engine: FakeEngine, choice: Any
) -> None:
    say(engine, CALL)
    await message(client, tools=[ADD], tool_choice=choice)
    assert engine.submitted[0].params.structured_outputs is not None


async def test_none_hides_the_tools(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    say(engine, CALL)
    whole = await message(client, tools=[ADD], tool_choice={"type": "none"})
    assert engine.render_calls[0]["tools"] == []
    assert whole["stop_reason"] == "end_turn"


async def test_another_tool_cannot_be_demanded(client: httpx.AsyncClient) -> None:
    choice = {"type": "tool", "name": "sub"}
    assert "tool_choice" in (await refused(client, tools=[ADD], tool_choice=choice))["message"]


def test_the_official_client_accumulates_a_call(
    anthropic_client: anthropic.Anthropic, engine: FakeEngine
) -> None:
    say(engine, f"I add.\n{CALL}")
    with anthropic_client.messages.stream(
        model=MODEL, max_tokens=200, tools=[ADD], messages=[{"role": "user", "content": "Hi"}]
    ) as events:
        final = events.get_final_message()
    text, call = final.content
    assert text.type == "text"
    assert text.text == "I add."
    assert call.type == "tool_use"
    assert call.input == {"a": 1}
    assert final.stop_reason == "tool_use"
