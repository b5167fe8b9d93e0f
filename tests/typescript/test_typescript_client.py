"""The TypeScript client against the server: what it gets is what the Python client gets."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from qstar_client import QStarClient

from tests.server.fake_engine import SCRIPT
from tests.server.live_server import LiveServer
from tests.typescript.node_package import run_program

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, dict[str, Any]] = {
    "completions": {"prompt": "Hi", "max_tokens": 60, "logprobs": 1},
    "chat.completions": {"messages": MESSAGES, "logprobs": True, "include_reasoning": True},
    "responses": {"input": "Hi", "include_reasoning": True},
}
VOLATILE = {"id", "created", "created_at", "completed_at", "item_id", "output_text"}


def without_volatile(value: Any) -> Any:
    """The answer without what differs between two requests, and without nulls."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in VOLATILE}
        return {name: without_volatile(each) for name, each in kept.items() if each is not None}
    return [without_volatile(each) for each in value] if isinstance(value, list) else value


def python_answer(client: QStarClient, call: str, params: dict[str, Any]) -> Any:
    target: Any = client
    for name in call.split("."):
        target = getattr(target, name)
    answer: BaseModel = target.create(**params)
    return without_volatile(answer.model_dump(mode="json"))


def call_all(package: Path, url: str, *calls: dict[str, Any], **options: Any) -> list[Any]:
    """What the calls give in the TypeScript client."""
    job = {"options": {"baseURL": url, **options}, "calls": calls}
    outcomes: list[Any] = run_program(package, "calls.mjs", job)
    return outcomes


@pytest.mark.parametrize("call", REQUESTS)
def test_answers_are_those_of_the_python_client(package: Path, live: LiveServer, call: str) -> None:
    params = REQUESTS[call] | {"show_thoughts": True, "seed": 1}
    with QStarClient(base_url=live.url) as client:
        expected = python_answer(client, call, params)
    whole, streamed = call_all(
        package,
        f"{live.url}/v1",
        {"call": call, "method": "create", "params": params},
        {"call": call, "method": "stream", "params": params},
    )
    assert without_volatile(whole["answer"]) == expected
    assert without_volatile(streamed["answer"]) == expected
    events = streamed["events"]
    assert "".join(each["text"] for each in events if each["type"] == "text") == SCRIPT
    thoughts = [each["thought"] for each in events if each["type"] == "thought"]
    holder = expected if call == "responses" else expected["choices"][0]
    assert thoughts == holder["thoughts"]
    assert [each["finish_reason"] for each in events if each["type"] == "finish"] == ["stop"]
    (usage,) = [each["usage"] for each in events if each["type"] == "usage"]
    assert usage["completion_tokens"] == len(thoughts) > 3
