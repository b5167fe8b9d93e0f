"""Requests and answers of the messages endpoint, each checked with the official client's types."""

import json
from typing import Any

import httpx
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from pydantic import TypeAdapter

from tests.server.fake_engine import MODEL

PATH = "/v1/messages"
_EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def body(**fields: Any) -> dict[str, Any]:
    """A request with a short message."""
    messages = [{"role": "user", "content": "A"}]
    return {"model": MODEL, "max_tokens": 100, "messages": messages} | fields


async def message(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A whole message, which must be a success."""
    response = await client.post(PATH, json=body(**fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    whole = response.json()
    Message.model_validate(whole)
    assert isinstance(whole, dict)
    return whole


async def refused(client: httpx.AsyncClient, status: int = 400, **fields: Any) -> dict[str, Any]:
    """The error of a request, which must be refused in Anthropic's envelope with this status."""
    response = await client.post(PATH, json=body(**fields))
    assert response.status_code == status, response.text
    return error_of(response)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of Anthropic's envelope, which must have its keys and no other."""
    assert response.headers["content-type"] == "application/json"
    envelope = response.json()
    ErrorResponse.model_validate(envelope)
    assert set(envelope) == {"type", "error", "request_id"}
    assert envelope["type"] == "error"
    assert envelope["request_id"] == response.headers["request-id"]
    error = envelope["error"]
    assert isinstance(error, dict)
    assert set(error) == {"type", "message"}
    return error


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream: framing, names and types must be exact."""
    *frames, rest = text.split("\n\n")
    assert rest == ""
    return [_event_of(frame) for frame in frames]


def _event_of(frame: str) -> dict[str, Any]:
    name, data = frame.split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert isinstance(event, dict)
    assert name == f"event: {event['type']}"
    if event["type"] != "error":
        _EVENT.validate_python(event)
    return event


async def stream(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    """The events of a streamed message."""
    response = await client.post(PATH, json=body(stream=True, **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    return events_of(response.text)


def joined(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the events add up to."""
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    whole: dict[str, Any] = events[0]["message"]
    open_blocks: dict[int, str] = {}
    for event in events[1:-1]:
        if event["type"] == "message_delta":
            assert not open_blocks
            whole |= event["delta"]
            whole["usage"] |= event["usage"]
        elif event["type"] == "content_block_start":
            assert event["index"] == len(whole["content"])
            whole["content"].append(event["content_block"])
            open_blocks[event["index"]] = ""
        elif event["type"] == "content_block_delta":
            _add_delta(whole["content"], event, open_blocks)
        else:
            json_text = open_blocks.pop(event["index"])
            if json_text:
                whole["content"][event["index"]]["input"] = json.loads(json_text)
    return whole


def _add_delta(
    content: list[dict[str, Any]], event: dict[str, Any], open_blocks: dict[int, str]
) -> None:
    index, delta = event["index"], event["delta"]
    if delta["type"] == "input_json_delta":
        open_blocks[index] += delta["partial_json"]
    else:
        name = delta["type"].removesuffix("_delta")
        content[index][name] += delta[name]


def same(whole: dict[str, Any]) -> dict[str, Any]:
    """The message without what differs between two runs: ids."""
    plain = json.loads(json.dumps(whole))
    del plain["id"]
    for block in plain["content"]:
        block.pop("id", None)
    return plain  # type: ignore[no-any-return]
