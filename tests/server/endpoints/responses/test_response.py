"""Whole answers of the responses endpoint. Each is checked with the official client's types."""

from typing import Any

import httpx
import pytest
from openai.types.responses import Response

from tests.server.endpoints.responses.wire import PATH, refused, respond, text_of
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.wire import error_of


async def test_an_answer_is_one_message(client: httpx.AsyncClient) -> None:
    response = await respond(client, temperature=0.5)
    assert response["id"].startswith("resp_")
    assert (response["status"], response["object"]) == ("completed", "response")
    assert (response["error"], response["incomplete_details"]) == (None, None)
    (message,) = response["output"]
    assert message["id"].startswith("msg_")
    assert (message["role"], message["status"]) == ("assistant", "completed")
    (part,) = message["content"]
    assert part == {"type": "output_text", "text": SCRIPT, "annotations": [], "logprobs": []}
    assert Response.model_validate(response).output_text == SCRIPT


async def test_every_field_of_openais_own_answers_is_there(client: httpx.AsyncClient) -> None:
    """Clients in strict languages fail where a key is missing, although it may be null."""
    response = await respond(client)
    assert set(response) == {
        *("id", "object", "created_at", "status", "background", "completed_at", "error"),
        *("incomplete_details", "instructions", "max_output_tokens", "max_tool_calls", "metadata"),
        *("model", "output", "parallel_tool_calls", "previous_response_id", "prompt_cache_key"),
        *("reasoning", "safety_identifier", "service_tier", "store", "temperature", "text"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "usage", "user"),
    }


async def test_what_the_request_says_is_echoed(client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "metadata": {"case": "7"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "temperature": 0.25,
        "top_p": 0.5,
        "max_tool_calls": 3,
        "parallel_tool_calls": False,
    }
    response = await respond(client, **fields)
    assert {name: response[name] for name in fields} == fields
    assert response["store"] is False
    assert response["model"] == MODEL


async def test_defaults_are_those_of_the_checkpoint(client: httpx.AsyncClient) -> None:
    response = await respond(client)
    assert (response["temperature"], response["top_p"]) == (1.0, 1.0)
    assert (response["metadata"], response["tools"]) == ({}, [])


async def test_usage_counts_visible_and_thought_tokens_apart(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    response = await respond(client, num_thought_tokens=2)
    num_tokens = len(engine.script)
    num_prompt_tokens = len(engine.submitted[0].prompt_token_ids)
    assert response["usage"] == {
        "input_tokens": num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": num_tokens,
        "output_tokens_details": {"reasoning_tokens": 2 * num_tokens},
        "total_tokens": num_prompt_tokens + num_tokens,
    }


async def test_an_output_without_text_is_an_empty_message(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = engine.script[-1:]
    response = await respond(client)
    assert text_of(response) == ""
    assert [item["type"] for item in response["output"]] == ["message"]


async def test_a_full_context_is_incomplete(client: httpx.AsyncClient) -> None:
    response = await respond(client, ignore_eos=True)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["completed_at"] is None
    assert response["usage"]["total_tokens"] == 512


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_no_response_can_be_asked_for_again(client: httpx.AsyncClient, method: str) -> None:
    stored = (await respond(client))["id"]
    response = await client.request(method, f"{PATH}/{stored}")
    assert response.status_code == 404
    assert "stores none" in error_of(response)["message"]


async def test_another_model_is_not_found(client: httpx.AsyncClient) -> None:
    error = await refused(client, 404, model="other")
    assert (error["code"], error["param"]) == ("model_not_found", "model")


async def test_a_full_queue_is_a_429(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.is_full = True
    for is_streamed in (False, True):
        error = await refused(client, 429, stream=is_streamed)
        assert error["type"] == "rate_limit_error"
