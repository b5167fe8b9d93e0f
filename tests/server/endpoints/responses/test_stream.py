"""Streams of the responses endpoint. Each event is checked with the official client's types."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.server.byte_tokens import token_ids_of
from tests.server.endpoints.responses.wire import (
    PATH,
    body,
    checked,
    events_of,
    of_type,
    respond,
    same,
    stream,
)
from tests.server.fake_engine import SCRIPT, FakeEngine


async def test_the_events_come_in_openais_order(client: httpx.AsyncClient) -> None:
    events = await stream(client)
    types = [event["type"].removeprefix("response.") for event in events]
    deltas = [each for each in types if each == "output_text.delta"]
    assert types == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *deltas,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    # One delta for each token that completes a character.
    assert [each["delta"] for each in of_type(events, "output_text.delta")] == list(SCRIPT)


FIELDS: list[dict[str, Any]] = [
    {},
    {"include_reasoning": True},
    {"show_thoughts": True, "include_reasoning": True},
    {"ignore_eos": True},
    {"instructions": "Be brief.", "metadata": {"a": "b"}},
]


@pytest.mark.parametrize("fields", FIELDS)
async def test_the_last_event_holds_the_whole_response(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    whole = await respond(client, **fields)
    last = (await stream(client, **fields))[-1]
    assert last["type"] == f"response.{whole['status']}"
    assert same(checked(last["response"])) == same(whole)


@pytest.mark.parametrize("fields", FIELDS)
async def test_the_events_add_up_to_the_last(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    events = await stream(client, **fields)
    output = events[-1]["response"]["output"]
    done = of_type(events, "output_item.done")
    assert [each["item"] for each in sorted(done, key=lambda each: each["output_index"])] == output
    names = {"message": "output_text", "reasoning": "reasoning_text"}
    for index, item in enumerate(output):
        name = names[item["type"]]
        deltas = [
            each for each in of_type(events, f"{name}.delta") if each["output_index"] == index
        ]
        assert {each["item_id"] for each in deltas} == {item["id"]}
        (text_done,) = of_type(events, f"{name}.done")
        text = item["content"][0]["text"]
        assert "".join(each["delta"] for each in deltas) == text == text_done["text"]


async def test_the_response_begins_before_the_first_token(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    events = await stream(client)
    created = events[0]["response"]
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert created["id"] == events[-1]["response"]["id"]
    assert engine.aborted == []


async def test_there_is_no_done_at_the_end(client: httpx.AsyncClient) -> None:
    """OpenAI's streams of this endpoint end with their last event."""
    response = await client.post(PATH, json=body(stream=True))
    assert "[DONE]" not in response.text


async def test_line_ends_that_some_clients_know_are_escaped(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = token_ids_of("a\r\n\u2028\u0085b") + engine.script[-1:]
    response = await client.post(PATH, json=body(stream=True))
    assert response.text.isascii()
    assert "\r" not in response.text
    last = events_of(response.text)[-1]["response"]
    assert last["output"][0]["content"][0]["text"] == "a\r\n\u2028\u0085b"


async def test_a_failure_ends_the_stream_with_a_failed_response(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.step_s = 0.02
    sending = asyncio.create_task(client.post(PATH, json=body(stream=True, ignore_eos=True)))
    while engine.num_open == 0:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    engine.fail(RuntimeError("CUDA error, hush"))
    events = events_of((await sending).text)
    error, failed = events[-2:]
    assert (error["type"], error["code"]) == ("error", "internal_error")
    response = checked(failed["response"])
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert "hush" not in str(events)


async def test_stream_options_outside_a_stream_are_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=body(stream_options={}))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "stream_options"
