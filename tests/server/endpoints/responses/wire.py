"""Requests and answers of the responses endpoint, each checked with the official client's types."""

import json
from typing import Any

import httpx
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.server.fake_engine import MODEL
from tests.server.wire import error_of

PATH = "/v1/responses"
_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
_LAST_EVENTS = {"response.completed", "response.incomplete", "response.failed"}


def body(**fields: Any) -> dict[str, Any]:
    """A request with a short input."""
    return {"model": MODEL, "input": "A"} | fields


def checked(response: dict[str, Any]) -> dict[str, Any]:
    """The response object, which must be valid for the official client."""
    Response.model_validate(response)
    return response


async def respond(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A whole response, which must be a success."""
    response = await client.post(PATH, json=body(**fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return checked(response.json())


async def refused(client: httpx.AsyncClient, status: int = 400, **fields: Any) -> dict[str, Any]:
    """The error of a request, which must be refused in the envelope with this status."""
    response = await client.post(PATH, json=body(**fields))
    assert response.status_code == status, response.text
    return error_of(response)


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream: framing, names, numbers, order and types must be exact."""
    *frames, rest = text.split("\n\n")
    assert rest == ""
    events = [_event_of(frame) for frame in frames]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    types = [event["type"] for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert types[-1] in _LAST_EVENTS
    assert not set(types[2:-1]) & (_LAST_EVENTS | {"response.created", "response.in_progress"})
    return events


def _event_of(frame: str) -> dict[str, Any]:
    name, data = frame.split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert isinstance(event, dict)
    assert name == f"event: {event['type']}"
    valid = _EVENT.validate_python(event)
    assert valid.type == event["type"]
    return event


async def stream(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    """The events of a streamed response."""
    response = await client.post(PATH, json=body(stream=True, **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    return events_of(response.text)


def of_type(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The events of one type, without its prefix `response.`."""
    return [event for event in events if event["type"] == f"response.{name}"]


def text_of(response: dict[str, Any]) -> str:
    """The text of all messages of the output."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


def same(response: dict[str, Any]) -> dict[str, Any]:
    """The response without what differs between two runs: ids and times."""
    plain = json.loads(json.dumps(response))
    for name in ("id", "created_at", "completed_at"):
        del plain[name]
    for item in plain["output"]:
        del item["id"]
        item.pop("call_id", None)
    return plain  # type: ignore[no-any-return]
