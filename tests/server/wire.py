"""Requests and answers of the completions endpoint, for tests."""

import copy
import json
from typing import Any

import httpx

from tests.server.fake_engine import MODEL


def body(**fields: Any) -> dict[str, Any]:
    """A request with a prompt of one token."""
    return {"model": MODEL, "prompt": "A", "add_special_tokens": False} | fields


async def complete(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A whole response, which must be a success."""
    response = await client.post("/v1/completions", json=body(**fields))
    assert response.status_code == 200, response.text
    whole = response.json()
    assert isinstance(whole, dict)
    return whole


async def refused(client: httpx.AsyncClient, status: int = 400, **fields: Any) -> dict[str, Any]:
    """The error of a request, which must be refused in the envelope with this status."""
    response = await client.post("/v1/completions", json=body(**fields))
    assert response.status_code == status, response.text
    return error_of(response)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of an envelope, which must have all four keys and no other."""
    assert response.headers["content-type"] == "application/json"
    envelope = response.json()
    assert set(envelope) == {"error"}
    error = envelope["error"]
    assert isinstance(error, dict)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def chunks_of(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream, whose framing must be exact."""
    frames = text.split("\n\n")
    assert frames[-1] == ""
    assert frames[-2] == "data: [DONE]"
    assert all(frame.startswith("data: {") and "\n" not in frame for frame in frames[:-2])
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


async def stream(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed response."""
    response = await client.post("/v1/completions", json=body(stream=True, **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    return chunks_of(response.text)


def joined(chunks: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Choice index -> the choice that its chunks add up to."""
    choices: dict[int, dict[str, Any]] = {}
    for choice in [choice for chunk in chunks for choice in chunk["choices"]]:
        if choice["index"] not in choices:
            choices[choice["index"]] = copy.deepcopy(choice)
            continue
        whole = choices[choice["index"]]
        assert whole["finish_reason"] is None, "a choice went on after its finish reason"
        whole["text"] += choice["text"]
        whole["finish_reason"] = choice["finish_reason"]
        for name in ("thoughts", "token_ids"):
            assert (name in whole) == (name in choice)
            if name in choice:
                whole[name] += choice[name]
        if whole["logprobs"] is not None:
            for name, values in choice["logprobs"].items():
                whole["logprobs"][name] += values
    return choices
