"""Streams of the messages endpoint. Each event is checked with the official client's types."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.server.endpoints.messages.wire import (
    PATH,
    body,
    events_of,
    joined,
    message,
    same,
    stream,
)
from tests.server.fake_engine import SCRIPT, FakeEngine


async def test_the_events_come_in_anthropics_order(client: httpx.AsyncClient) -> None:
    events = await stream(client)
    types = [event["type"] for event in events]
    assert types == [
        *("message_start", "content_block_start"),
        *["content_block_delta"] * len(SCRIPT),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": 4},
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "enabled", "budget_tokens": 60}, "max_tokens": 80},
        {"thinking": {"type": "disabled"}},
    ],
)
async def test_a_stream_adds_up_to_the_whole(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    whole = await message(client, **fields)
    assert same(joined(await stream(client, **fields))) == same(whole)


async def test_a_failure_is_an_event_of_its_own(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.step_s = 0.02
    sending = asyncio.create_task(client.post(PATH, json=body(stream=True)))
    while engine.num_open == 0:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    engine.fail(RuntimeError("CUDA error, hush"))
    events = events_of((await sending).text)
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    assert "hush" not in str(events)
