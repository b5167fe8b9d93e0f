"""Typed events of every endpoint's stream, from both clients, and the whole out of its chunks."""

from typing import Any

import httpx
import pytest

from qstar_client import (
    FinishEvent,
    ReasoningEvent,
    StreamError,
    StreamEvent,
    TextEvent,
    Thought,
    ThoughtEvent,
    ToolCallEvent,
    Usage,
    UsageEvent,
)

from .answers import (
    CHAT,
    CHAT_CHUNKS,
    DONE,
    EMPTY_RESPONSE,
    RESPONSE,
    RESPONSE_EVENTS,
    TOOL_CHUNKS,
    USAGE,
    chat_chunk,
    response_event,
    thought,
)
from .conftest import COMPLETION, Harness, event


async def events_of(harness: Harness, stream: Any) -> list[StreamEvent]:
    if harness.is_async:
        return [each async for each in stream.events()]
    return list(stream.events())


def chat_stream(harness: Harness, *chunks: dict[str, Any], end: bytes = DONE) -> Any:
    content = b"".join(map(event, chunks)) + end
    client = harness.client(lambda _: httpx.Response(200, content=content))
    return client.chat.completions.stream(messages=[], model="m")


def response_stream(harness: Harness, *events: bytes) -> Any:
    client = harness.client(lambda _: httpx.Response(200, content=b"".join(events)))
    return client.responses.stream(input="x", model="m")


def entry(token: str) -> Thought:
    return Thought.model_validate(thought(token))


async def test_events_of_a_completion(harness: Harness) -> None:
    choice = {"index": 1, "text": " 4", "finish_reason": "length", "thoughts": [thought(" 4")]}
    chunks = [{**COMPLETION, "choices": [choice], "usage": None}, {**COMPLETION, "choices": []}]
    content = b"".join(map(event, chunks)) + DONE
    client = harness.client(lambda _: httpx.Response(200, content=content))
    stream = client.completions.stream(prompt="x", model="m")
    *events, last = await events_of(harness, stream)
    assert events == [ThoughtEvent(entry(" 4"), 1), TextEvent(" 4", 1), FinishEvent("length", 1)]
    assert isinstance(last, UsageEvent)
    assert last.usage.total_tokens == 4
    assert (await harness.settle(stream.final())).choices[0].text == " 4"


async def test_events_of_a_chat(harness: Harness) -> None:
    assert await events_of(harness, chat_stream(harness, *CHAT_CHUNKS)) == [
        ThoughtEvent(entry("2")),
        ThoughtEvent(entry("+")),
        ReasoningEvent("a"),
        TextEvent("2+"),
        ThoughtEvent(entry("2é")),
        ReasoningEvent("b"),
        TextEvent("2é"),
        FinishEvent("stop"),
        UsageEvent(Usage.model_validate(USAGE)),
    ]


async def test_events_of_tool_calls(harness: Harness) -> None:
    assert await events_of(harness, chat_stream(harness, *TOOL_CHUNKS)) == [
        ToolCallEvent(0, "", name="add", id="c0"),
        ToolCallEvent(0, '{"a"'),
        ToolCallEvent(0, ": 1}"),
        ToolCallEvent(1, "{}", name="now", id="c1"),
        FinishEvent("tool_calls"),
    ]


async def test_events_of_a_response(harness: Harness) -> None:
    stream = response_stream(harness, *RESPONSE_EVENTS)
    assert await events_of(harness, stream) == [
        ThoughtEvent(entry(" 4")),
        ReasoningEvent("a"),
        TextEvent(" 4"),
        ThoughtEvent(entry(".")),
        ReasoningEvent("b"),
        TextEvent("."),
        FinishEvent("stop"),
        UsageEvent(Usage.model_validate({**USAGE})),
    ]
    whole = await harness.settle(stream.final())
    assert whole.model_dump(exclude_unset=True) == RESPONSE
    assert whole.output_text == " 4."


async def test_an_incomplete_response_finishes_by_length(harness: Harness) -> None:
    cut = {**RESPONSE, "status": "incomplete", "usage": None}
    cut |= {"incomplete_details": {"reason": "max_output_tokens"}}
    stream = response_stream(harness, response_event("incomplete", 0, response=cut))
    assert await events_of(harness, stream) == [FinishEvent("length")]
    assert (await harness.settle(stream.final())).status == "incomplete"


async def test_events_of_a_response_that_calls_a_function(harness: Harness) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c0", "name": "add", "arguments": ""}
    stream = response_stream(
        harness,
        response_event("output_item.added", 0, output_index=2, item=call),
        response_event("function_call_arguments.delta", 1, output_index=2, delta="{}"),
        response_event("completed", 2, response={**RESPONSE, "usage": None}),
    )
    assert await events_of(harness, stream) == [
        ToolCallEvent(2, "", name="add", id="c0"),
        ToolCallEvent(2, "{}"),
        FinishEvent("stop"),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        b"event: error\n" + event({"type": "error", "code": "c", "message": "died", "param": None}),
        event({"type": "error", "code": "c", "message": "died", "param": None}),
        response_event(
            "failed", 1, response={**EMPTY_RESPONSE, "error": {"code": "c", "message": "died"}}
        ),
        event({"error": {"code": "c", "message": "died"}}),
    ],
    ids=["named", "typed", "failed", "as chat"],
)
async def test_a_response_that_fails_raises(harness: Harness, failure: bytes) -> None:
    stream = response_stream(
        harness, response_event("created", 0, response=EMPTY_RESPONSE), failure
    )
    assert (await harness.next(stream)).type == "response.created"
    with pytest.raises(StreamError, match="died") as caught:
        await harness.next(stream)
    assert caught.value.code == "c"


async def test_a_response_that_never_completes_is_an_error(harness: Harness) -> None:
    stream = response_stream(harness, *RESPONSE_EVENTS[:-1])
    with pytest.raises(StreamError, match="ended early"):
        await events_of(harness, stream)
    stream = response_stream(harness, *RESPONSE_EVENTS[:-1], DONE)
    with pytest.raises(StreamError, match=r"no response\.completed"):
        await harness.settle(stream.final())


async def test_a_chat_stream_joins_to_the_whole(harness: Harness) -> None:
    whole = await harness.settle(chat_stream(harness, *CHAT_CHUNKS).final())
    as_create = harness.client(lambda _: httpx.Response(200, json=CHAT))
    expected = await harness.settle(as_create.chat.completions.create(messages=[], model="m"))
    assert whole.model_dump() == expected.model_dump()
    assert type(whole) is type(expected)


async def test_choices_of_a_chat_interleave(harness: Harness) -> None:
    whole = await harness.settle(
        chat_stream(
            harness,
            chat_chunk({"content": "b"}, index=1, note="x"),
            chat_chunk({"content": "a", "mood": "good"}, index=0),
            chat_chunk({"content": "B"}, index=1, finish_reason="stop"),
        ).final()
    )
    assert [(each.index, each.message.content) for each in whole.choices] == [(0, "a"), (1, "bB")]
    assert whole.choices[0].message.model_extra == {"mood": "good"}
    assert whole.choices[1].model_extra == {"note": "x"}
    assert whole.usage is None


async def test_joining_leaves_chat_chunks_alone(harness: Harness) -> None:
    stream = chat_stream(harness, *CHAT_CHUNKS, *TOOL_CHUNKS)
    chunks = []
    while (chunk := await harness.next(stream)) is not None:
        chunks.append((chunk, chunk.model_dump()))
    await harness.settle(stream.final())
    assert all(chunk.model_dump() == before for chunk, before in chunks)


async def test_an_index_of_any_size_costs_nothing(harness: Harness) -> None:
    part = {"index": 10**12, "function": {"name": "f", "arguments": "{}"}}
    whole = await harness.settle(
        chat_stream(harness, chat_chunk({"tool_calls": [part]}, index=10**12)).final()
    )
    assert [each.index for each in whole.choices[0].message.tool_calls] == [10**12]


@pytest.mark.parametrize("chunk", [{}, {"choices": 1}, chat_chunk({"content": 7})])
async def test_an_event_that_is_no_chat_chunk_is_an_error(harness: Harness, chunk: Any) -> None:
    with pytest.raises(StreamError, match="not a chunk"):
        await harness.next(chat_stream(harness, chunk))
