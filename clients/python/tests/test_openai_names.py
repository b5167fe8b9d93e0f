"""Code written for the official openai package runs on this client: same calls, same results."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from qstar_client import QStarClient

from .answers import (
    CHAT,
    CHAT_CHUNKS,
    DONE,
    MODEL,
    RESPONSE,
    RESPONSE_EVENTS,
    TOOL_CHUNKS,
    thought,
)
from .conftest import COMPLETION, Exchange, Script, WireServer, event

Call = Callable[[Any], Any]
MESSAGES = [{"role": "user", "content": "2+2?"}]


class Server:
    """Answers every endpoint, and keeps what it was asked."""

    def __init__(self, serve: Callable[[Script], WireServer]) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.chat_chunks = CHAT_CHUNKS
        self.base_url = serve(self.answer).base_url + "/v1"

    def answer(self, exchange: Exchange) -> None:
        path = exchange.handler.path.removeprefix("/v1")
        body = json.loads(exchange.body or "null")
        self.asked.append((f"{exchange.handler.command} {path}", body))
        if body is not None and body.get("stream"):
            exchange.start_stream()
            for piece in self.stream(path):
                exchange.send(piece)
            exchange.send(b"")
        else:
            exchange.reply(200, self.whole(path))

    def whole(self, path: str) -> object:
        return {
            "/chat/completions": CHAT,
            "/completions": COMPLETION,
            "/models": {"object": "list", "data": [MODEL]},
            "/responses": RESPONSE,
        }.get(path, MODEL)

    def stream(self, path: str) -> Iterator[bytes]:
        if path == "/responses":
            yield from RESPONSE_EVENTS
        else:
            yield from map(event, self.chat_chunks if "chat" in path else [COMPLETION])
            yield DONE


@pytest.fixture
def server(serve: Callable[[Script], WireServer]) -> Server:
    return Server(serve)


@pytest.fixture
def clients(server: Server) -> Iterator[tuple[OpenAI, QStarClient]]:
    with (
        OpenAI(base_url=server.base_url, api_key="k") as theirs,
        QStarClient(base_url=server.base_url, api_key="k") as ours,
    ):
        yield theirs, ours


def text_of_chat(client: Any) -> object:
    answer = client.chat.completions.create(
        model="tiny", messages=MESSAGES, temperature=0.5, max_completion_tokens=9, logprobs=True
    )
    choice = answer.choices[0]
    tokens = [(each.token, each.bytes, each.logprob) for each in choice.logprobs.content]
    details = answer.usage.completion_tokens_details
    return (
        *(answer.id, answer.object, choice.finish_reason, choice.message.role),
        *(choice.message.content, tokens, details.reasoning_tokens),
    )


def streamed_chat(client: Any) -> object:
    stream = client.chat.completions.create(
        model="tiny", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    found: list[object] = []
    for chunk in stream:
        if chunk.usage is not None:
            found.append(chunk.usage.total_tokens)
        for choice in chunk.choices:
            found.append((choice.index, choice.delta.role, choice.delta.content))
            found.append(choice.finish_reason)
    return found


def streamed_chat_without_usage(client: Any) -> object:
    with client.chat.completions.create(model="tiny", messages=MESSAGES, stream=True) as stream:
        return [chunk.id for chunk in stream]


def second_turn(client: Any) -> object:
    """A message of an answer goes back to the server as it came."""
    message = client.chat.completions.create(model="tiny", messages=MESSAGES).choices[0].message
    history = [*MESSAGES, message, {"role": "user", "content": "Sure?"}]
    return client.chat.completions.create(model="tiny", messages=history).id


def with_tools(client: Any) -> object:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    answer = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Ünï"}]}],
        tools=[tool],
        tool_choice="auto",
        response_format={"type": "json_object"},
        stop=["\n"],
        n=1,
        seed=7,
        extra_body={"top_k": 3, "show_thoughts": True},
    )
    return answer.choices[0].message.tool_calls


def completion(client: Any) -> object:
    answer = client.completions.create(model="tiny", prompt=["a", "b"], max_tokens=3, logprobs=0)
    return answer.choices[0].text, answer.choices[0].finish_reason, answer.usage.prompt_tokens


def streamed_completion(client: Any) -> object:
    chunks = list(client.completions.create(model="tiny", prompt=[1, 2], stream=True))
    return [chunk.choices[0].text for chunk in chunks]


def response(client: Any) -> object:
    answer = client.responses.create(
        model="tiny", input="2+2?", instructions="short", reasoning={"effort": "low"}, store=False
    )
    kinds = [(item.type, item.status) for item in answer.output]
    usage = answer.usage
    return answer.output_text, answer.status, kinds, usage.output_tokens_details.reasoning_tokens


def streamed_response(client: Any) -> object:
    stream = client.responses.create(model="tiny", input=MESSAGES, stream=True)
    events = list(stream)
    texts = [each.delta for each in events if each.type == "response.output_text.delta"]
    numbers = [each.sequence_number for each in events]
    return texts, numbers, events[-1].type, events[-1].response.output_text


def models(client: Any) -> object:
    listed = client.models.list()
    one = client.models.retrieve("a/b c")
    return [model.id for model in listed], listed.data[0].created, one.owned_by


CALLS: list[Call] = [
    text_of_chat,
    streamed_chat,
    streamed_chat_without_usage,
    with_tools,
    completion,
    streamed_completion,
    response,
    streamed_response,
    models,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_the_same_code_asks_and_reads_the_same(
    call: Call, server: Server, clients: tuple[OpenAI, QStarClient]
) -> None:
    theirs, ours = clients
    expected = call(theirs)
    asked, server.asked = server.asked, []
    assert call(ours) == expected
    assert server.asked == asked
    assert asked


def test_a_message_can_be_sent_back(server: Server, clients: tuple[OpenAI, QStarClient]) -> None:
    """The openai package keeps nulls, this client leaves them out."""
    theirs, ours = clients
    second_turn(theirs)
    asked, server.asked = server.asked, []
    second_turn(ours)
    expected = asked[-1][1]["messages"][1]
    assert server.asked[-1][1]["messages"][1] == {
        k: v for k, v in expected.items() if v is not None
    }


@pytest.mark.parametrize("chunks", [CHAT_CHUNKS, TOOL_CHUNKS], ids=["text", "tools"])
def test_a_chat_stream_joins_to_what_the_openai_package_joins(
    chunks: list[dict[str, Any]], server: Server, clients: tuple[OpenAI, QStarClient]
) -> None:
    server.chat_chunks = chunks
    theirs, ours = clients
    messages: Any = MESSAGES
    with theirs.chat.completions.stream(model="tiny", messages=messages) as stream:
        stream.until_done()
        expected = stream.get_final_completion()
    with ours.chat.completions.stream(model="tiny", messages=messages) as own_stream:
        joined = own_stream.final()
    assert joined.object == expected.object
    for one, other in zip(joined.choices, expected.choices, strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.message.content == other.message.content
        calls = [
            (each.id, each.type, each.function and each.function.name, each.function.arguments)
            for each in other.message.tool_calls or ()
            if each.type == "function"
        ]
        own = [
            (each.id, each.type, each.function and each.function.name, each.function.arguments)
            for each in one.message.tool_calls or ()
            if each.function
        ]
        assert own == calls
        assert (one.logprobs and one.logprobs.model_dump()) == (
            other.logprobs and other.logprobs.model_dump()
        )


def test_errors_carry_the_same_facts(serve: Callable[[Script], WireServer]) -> None:
    error = {"message": "m", "type": "t", "param": "p", "code": "c"}

    def refuse(exchange: Exchange) -> None:
        exchange.reply(400, {"error": error}, {"x-request-id": "r-1"})

    base_url = serve(refuse).base_url + "/v1"
    with OpenAI(base_url=base_url, api_key="k") as theirs, QStarClient(base_url=base_url) as ours:
        with pytest.raises(openai.BadRequestError) as expected:
            theirs.models.list()
        with pytest.raises(Exception, match="m") as caught:
            ours.models.list()
    assert type(caught.value).__name__ == type(expected.value).__name__
    for name in ("status_code", "param", "code", "request_id"):
        assert getattr(caught.value, name) == getattr(expected.value, name), name


def test_thoughts_are_typed_where_the_openai_package_has_extra_fields(
    clients: tuple[OpenAI, QStarClient],
) -> None:
    theirs, ours = clients
    messages: Any = MESSAGES
    plain = theirs.chat.completions.create(model="tiny", messages=messages)
    typed = ours.chat.completions.create(model="tiny", messages=messages)
    assert typed.choices[0].thoughts is not None
    as_json = [each.model_dump() for each in typed.choices[0].thoughts]
    assert as_json == (plain.choices[0].model_extra or {})["thoughts"]
    assert as_json[0] == thought("2")
