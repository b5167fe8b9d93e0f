"""Requests and answers of the chat endpoint, for tests."""

from typing import Any

import httpx

from tests.server.fake_engine import MODEL
from tests.server.wire import chunks_of, error_of

PATH = "/v1/chat/completions"


def body(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]} | fields


async def ask(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A whole response, which must be a success."""
    response = await client.post(PATH, json=body(**fields))
    assert response.status_code == 200, response.text
    whole = response.json()
    assert isinstance(whole, dict)
    return whole


async def stream(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed response."""
    response = await client.post(PATH, json=body(stream=True, **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    return chunks_of(response.text)


async def refused(client: httpx.AsyncClient, status: int = 400, **fields: Any) -> dict[str, Any]:
    """The error of a request, which must be refused in the envelope with this status."""
    response = await client.post(PATH, json=body(**fields))
    assert response.status_code == status, response.text
    return error_of(response)


def joined(chunks: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Choice index -> the choice of a whole response that its chunks add up to."""
    choices: dict[int, dict[str, Any]] = {}
    for choice in [choice for chunk in chunks for choice in chunk["choices"]]:
        index, delta = choice["index"], choice["delta"]
        if index not in choices:
            assert delta == {"role": "assistant", "content": ""}, "the first chunk is the role"
            message = {"role": "assistant", "content": "", "refusal": None}
            choices[index] = {"index": index, "message": message, "logprobs": None}
            continue
        whole = choices[index]
        assert "finish_reason" not in whole, "a choice went on after its finish reason"
        if choice["finish_reason"] is not None:
            assert delta == {}, "the finish reason comes alone"
            whole["finish_reason"] = choice["finish_reason"]
        _add_delta(whole["message"], delta)
        for name in {"thoughts", "token_ids"} & set(choice):
            whole[name] = whole.get(name, []) + choice[name]
        if choice["logprobs"] is not None:
            assert choice["logprobs"]["refusal"] is None
            before = whole["logprobs"] or {"content": [], "refusal": None}
            content = before["content"] + choice["logprobs"]["content"]
            whole["logprobs"] = {"content": content, "refusal": None}
    for whole in choices.values():
        if "tool_calls" in whole["message"] and not whole["message"]["content"]:
            whole["message"]["content"] = None
    return choices


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    assert "role" not in delta, "the role comes once"
    for name in {"content", "reasoning", "reasoning_content"} & set(delta):
        message[name] = message.get(name, "") + delta[name]
    for call in delta.get("tool_calls", []):
        calls = message.setdefault("tool_calls", [])
        assert call["index"] == len(calls)
        calls.append({name: call[name] for name in ("id", "type", "function")})


def without_ids(choice: dict[str, Any]) -> dict[str, Any]:
    """The choice with the ids of its calls, which are random, replaced by their number."""
    message = dict(choice["message"])
    if "tool_calls" in message:
        message["tool_calls"] = [
            call | {"id": number} for number, call in enumerate(message["tool_calls"])
        ]
    return choice | {"message": message}
