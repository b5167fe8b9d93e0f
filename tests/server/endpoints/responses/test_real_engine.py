"""A real model gives the same answer here and as a plain completion of the rendered prompt."""

from typing import Any

import httpx
import pytest

from tests.server.endpoints.responses.wire import respond, same, stream, text_of
from tests.server.wire import complete

# What the toy's template makes of the messages below.
PROMPT = "s:Be brief.\nu:Hi\na:"
INPUT: dict[str, Any] = {"instructions": "Be brief.", "input": "Hi"}
FIELDS: dict[str, Any] = {"seed": 5, "temperature": 0.8, "show_thoughts": True}


@pytest.mark.parametrize("num_thought_tokens", [None, 0, 2])
async def test_the_answer_is_that_of_a_completion(
    real_client: httpx.AsyncClient, num_thought_tokens: int | None
) -> None:
    fields = FIELDS | {"num_thought_tokens": num_thought_tokens}
    completion = await complete(real_client, prompt=PROMPT, max_tokens=256 - len(PROMPT), **fields)
    response = await respond(real_client, include_reasoning=True, **INPUT, **fields)
    choice, usage = completion["choices"][0], response["usage"]
    assert choice["text"] == text_of(response)
    assert choice["thoughts"] == response["thoughts"]
    reasoning = [item for item in response["output"] if item["type"] == "reasoning"]
    thoughts = [each["thought"] for each in choice["thoughts"] if each["thought"]]
    assert [item["content"][0]["text"] for item in reasoning] == (
        ["\n".join(thoughts)] if thoughts else []
    )
    assert usage["input_tokens"] == completion["usage"]["prompt_tokens"]
    assert usage["output_tokens"] == completion["usage"]["completion_tokens"]


@pytest.mark.parametrize("limit", [7, None])
async def test_a_stream_has_the_same_response_as_a_whole(
    real_client: httpx.AsyncClient, limit: int | None
) -> None:
    fields = FIELDS | {
        "include_reasoning": True,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 3,
        "max_output_tokens": limit,
    }
    whole = same(await respond(real_client, **INPUT, **fields))
    last = same((await stream(real_client, **INPUT, **fields))[-1]["response"])
    # The second request finds the prompt in the cache.
    for response in (whole, last):
        del response["usage"]["input_tokens_details"]
    assert last == whole


async def test_a_limit_holds_for_visible_and_thought_tokens(real_client: httpx.AsyncClient) -> None:
    response = await respond(real_client, max_output_tokens=20, seed=1, ignore_eos=True, **INPUT)
    usage = response["usage"]
    spent = usage["output_tokens"] + usage["output_tokens_details"]["reasoning_tokens"]
    assert spent <= 20
    assert usage["output_tokens_details"]["reasoning_tokens"] > 0
    assert response["status"] == "incomplete"


async def test_stop_strings_are_cut_off(real_client: httpx.AsyncClient) -> None:
    plain = text_of(await respond(real_client, **INPUT, **FIELDS))
    stop = plain[3:5]
    response = await respond(real_client, stop=[stop], **INPUT, **FIELDS)
    assert text_of(response) == plain[: plain.index(stop)]
    assert response["status"] == "completed"
