"""The official Anthropic client against a real socket."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig

from tests.server.endpoints.messages.wire import PATH, body
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.scripted_output import THOUGHT_TEXT

KEY = "sk-secret"
REQUEST: Any = {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def anthropic_client(live: LiveServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=live.url, api_key="none", max_retries=0) as client:
        yield client


def test_a_whole_message(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(system="Be brief.", **REQUEST)
    (block,) = message.content
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text == SCRIPT
    assert message.stop_reason == "end_turn"
    assert message._request_id


def test_a_streamed_message(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(**REQUEST) as stream:
        assert "".join(stream.text_stream) == SCRIPT
        assert stream.get_final_message().usage.output_tokens > 0


def test_thinking_and_text_accumulate_side_by_side(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(thinking={"type": "adaptive"}, **REQUEST) as stream:
        message = stream.get_final_message()
    thinking, text = message.content
    assert isinstance(thinking, anthropic.types.ThinkingBlock)
    assert thinking.thinking.startswith(THOUGHT_TEXT)
    assert text.type == "text"
    assert text.text == SCRIPT
    whole = anthropic_client.messages.create(thinking={"type": "adaptive"}, **REQUEST)
    assert [block.model_dump(exclude={"parsed_output"}) for block in message.content] == [
        block.model_dump() for block in whole.content
    ]


async def test_the_async_client(live: LiveServer) -> None:
    async with anthropic.AsyncAnthropic(base_url=live.url, api_key="none", max_retries=0) as client:
        message = await client.messages.create(**REQUEST)
        assert message.content[0].type == "text"
        assert message.content[0].text == SCRIPT
        async with client.messages.stream(**REQUEST) as stream:
            assert await stream.get_final_text() == SCRIPT


def test_tokens_are_counted(anthropic_client: anthropic.Anthropic) -> None:
    count = anthropic_client.messages.count_tokens(model=MODEL, messages=REQUEST["messages"])
    whole = anthropic_client.messages.create(**REQUEST)
    assert count.input_tokens == whole.usage.input_tokens


def test_errors_are_typed(anthropic_client: anthropic.Anthropic, engine: FakeEngine) -> None:
    with pytest.raises(anthropic.NotFoundError):
        anthropic_client.messages.create(**REQUEST | {"model": "other"})
    with pytest.raises(anthropic.BadRequestError, match="max_tokens") as caught:
        anthropic_client.messages.create(**REQUEST | {"max_tokens": -1})
    assert caught.value.request_id
    engine.is_full = True
    with pytest.raises(anthropic.RateLimitError):
        anthropic_client.messages.create(**REQUEST)


@pytest.mark.parametrize("credentials", [{"api_key": KEY}, {"auth_token": KEY}])
def test_a_key_opens_the_endpoint(engine: FakeEngine, credentials: Any) -> None:
    """The client sends it as `x-api-key`, or as a bearer token."""
    server = start_server(engine, ServerConfig(api_keys=KeyRing.of([KEY]), drain_grace_s=0.2))
    with anthropic.Anthropic(base_url=server.url, max_retries=0, **credentials) as client:
        assert client.messages.create(**REQUEST).stop_reason == "end_turn"
    with anthropic.Anthropic(base_url=server.url, max_retries=0, api_key="wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(**REQUEST)
        assert caught.value.type == "authentication_error"
        assert "wrong" not in str(caught.value.body)
    server.stop()


def test_a_failure_in_a_stream_is_typed(
    anthropic_client: anthropic.Anthropic, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    events = anthropic_client.messages.create(stream=True, **REQUEST)
    next(events)
    engine.fail(RuntimeError("hush"))
    with pytest.raises(anthropic.APIStatusError, match="internal error"):
        list(events)


def test_closing_a_stream_early_frees_its_request(
    anthropic_client: anthropic.Anthropic, engine: FakeEngine
) -> None:
    engine.step_s = 0.01
    events = anthropic_client.messages.create(stream=True, **REQUEST)
    next(events)
    events.close()
    wait_until(lambda: len(engine.aborted) == 1)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_leaving_frees_the_request(live: LiveServer, engine: FakeEngine, is_streamed: bool) -> None:
    engine.step_s = 0.02
    raw = json.dumps(body(stream=is_streamed, max_tokens=400)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as connection:
        connection.sendall(head.encode() + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        wait_until(lambda: engine.num_open == 1)
    wait_until(lambda: engine.num_open == 0)
    assert engine.aborted == [engine.submitted[0].request_id]
