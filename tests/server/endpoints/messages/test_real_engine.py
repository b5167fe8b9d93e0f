"""A real model gives the same answer here and as a plain completion of the rendered prompt."""

import json
from typing import Any

import httpx
import jsonschema
import pytest

from tests.server.endpoints.messages.wire import joined, message, refused, same, stream
from tests.server.wire import complete

# What the toy's template makes of the messages below.
PROMPT = "s:Be brief.\nu:Hi\na:"
CONVERSATION: dict[str, Any] = {
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hi"}],
}
FIELDS: dict[str, Any] = {"seed": 5, "temperature": 0.8, "max_tokens": 60}


@pytest.mark.parametrize("stop", [None, "x"])
async def test_the_answer_is_that_of_a_completion(
    real_client: httpx.AsyncClient, stop: str | None
) -> None:
    completion = await complete(real_client, prompt=PROMPT, stop=stop, **FIELDS)
    sequences = None if stop is None else [stop]
    whole = await message(real_client, stop_sequences=sequences, **CONVERSATION, **FIELDS)
    choice, usage = completion["choices"][0], whole["usage"]
    assert "".join(block["text"] for block in whole["content"]) == choice["text"]
    reasons = {"length": "max_tokens", "stop": "stop_sequence" if stop else "end_turn"}
    assert whole["stop_reason"] == reasons[choice["finish_reason"]]
    assert usage["output_tokens"] == completion["usage"]["completion_tokens"]


async def test_a_continued_answer_goes_on_without_a_new_turn(
    real_client: httpx.AsyncClient,
) -> None:
    messages = [*CONVERSATION["messages"], {"role": "assistant", "content": "Well"}]
    whole = await message(real_client, messages=messages, **FIELDS)
    completion = await complete(real_client, prompt="u:Hi\na:Well", **FIELDS)
    assert whole["content"][0]["text"] == completion["choices"][0]["text"]


async def test_a_stream_adds_up_to_the_whole(real_client: httpx.AsyncClient) -> None:
    fields = FIELDS | {"thinking": {"type": "adaptive"}}
    await message(real_client, **CONVERSATION, **fields)  # now the prompt is in the cache
    whole = await message(real_client, **CONVERSATION, **fields)
    assert [block["type"] for block in whole["content"]] == ["thinking", "text"]
    assert same(joined(await stream(real_client, **CONVERSATION, **fields))) == same(whole)
    usage = whole["usage"]
    assert usage["output_tokens"] + usage["output_tokens_details"]["thinking_tokens"] <= 60


async def test_text_follows_a_schema(real_client: httpx.AsyncClient) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    output_config = {"format": {"type": "json_schema", "schema": schema}}
    whole = await message(
        real_client, output_config=output_config, temperature=0, max_tokens=200, **CONVERSATION
    )
    assert whole["stop_reason"] == "end_turn"
    jsonschema.validate(json.loads(whole["content"][0]["text"]), schema)
    wrong = {"format": {"type": "json_schema", "schema": {"type": "nothing"}}}
    assert "output_config" in (await refused(real_client, output_config=wrong))["message"]
