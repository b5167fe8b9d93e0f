"""Whole answers of the messages endpoint. Each is checked with the official client's types."""

from typing import Any

import httpx
import pytest

from tests.server.endpoints.messages.wire import PATH, body, error_of, message, refused
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine

TEXT = {"type": "text", "text": SCRIPT, "citations": None}


async def test_an_answer_is_one_block_of_text(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    whole = await message(client, num_thought_tokens=2)
    assert whole["id"].startswith("msg_")
    num_tokens = len(engine.script)
    assert whole | {"id": ""} == {
        "id": "",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [TEXT],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": len(engine.submitted[0].prompt_token_ids),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": num_tokens,
            "output_tokens_details": {"thinking_tokens": 2 * num_tokens},
        },
    }


async def test_cached_tokens_are_counted_apart(real_client: httpx.AsyncClient) -> None:
    """Anthropic's `input_tokens` are those that did not come from the cache."""
    messages = [{"role": "user", "content": "abcdefgh" * 10}]
    first, second = [
        (await message(real_client, messages=messages, max_tokens=1, cache_salt="m"))["usage"]
        for _ in range(2)
    ]
    assert first["cache_read_input_tokens"] == 0
    assert second["cache_read_input_tokens"] > 0
    total = second["input_tokens"] + second["cache_read_input_tokens"]
    assert total == first["input_tokens"]


async def test_max_tokens_is_a_reason_to_stop(client: httpx.AsyncClient) -> None:
    whole = await message(client, max_tokens=3)
    assert whole["stop_reason"] == "max_tokens"
    assert whole["usage"]["output_tokens"] == 3


async def test_a_full_context_is_a_reason_of_its_own(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """Anthropic's clients ask for more tokens than a small model's context has."""
    engine.script = engine.script[:1]
    whole = await message(client, max_tokens=100_000)
    assert whole["stop_reason"] == "model_context_window_exceeded"
    assert whole["usage"]["input_tokens"] + whole["usage"]["output_tokens"] == 512


async def test_a_stop_sequence_is_named(real_client: httpx.AsyncClient) -> None:
    """Every single character stops, so the first one does."""
    characters = [chr(number) for number in range(33, 65)]
    whole = await message(
        real_client, max_tokens=200, stop_sequences=characters, temperature=1.0, seed=3
    )
    assert whole["stop_reason"] == "stop_sequence"
    assert whole["stop_sequence"] in characters
    assert not set("".join(block["text"] for block in whole["content"])) & set(characters)


async def test_no_text_is_no_block(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = engine.script[-1:]
    assert (await message(client))["content"] == []


async def test_fields_reach_the_engine(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.75,
        "top_k": 7,
        "seed": 5,
        "stop_sequences": ["x", "y"],
        "num_thought_tokens": 2,
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
    }
    await message(client, **fields)
    params = engine.submitted[0].params
    assert (params.temperature, params.top_p, params.top_k, params.seed) == (0.5, 0.75, 7, 5)
    assert (params.stop, params.num_thought_tokens, params.max_tokens) == (("x", "y"), 2, 100)


async def test_tokens_can_be_counted(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    whole = await message(client, system="Be brief.")
    fields = {name: body(system="Be brief.")[name] for name in ("model", "messages", "system")}
    response = await client.post(f"{PATH}/count_tokens", json=fields)
    assert response.json() == {"input_tokens": whole["usage"]["input_tokens"]}
    assert len(engine.submitted) == 1, "counting generates nothing"


ERRORS: list[tuple[int, str, dict[str, Any]]] = [
    (404, "not_found_error", {"model": "other"}),
    (400, "invalid_request_error", {"max_tokens": 0}),
    (400, "invalid_request_error", {"messages": []}),
    (400, "invalid_request_error", {"temperature": 3}),
]


@pytest.mark.parametrize(("status", "kind", "fields"), ERRORS)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_errors_have_anthropics_form_and_name_the_field(
    client: httpx.AsyncClient, status: int, kind: str, fields: dict[str, Any], is_streamed: bool
) -> None:
    error = await refused(client, status, stream=is_streamed, **fields)
    assert error["type"] == kind
    assert next(iter(fields)) in error["message"]


async def test_errors_before_the_endpoint_have_the_same_form(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """Wherever they come from: a router, the body's reader, the engine."""
    answers = {
        405: await client.get(PATH),
        404: await client.post(f"{PATH}/batches", json={}),
        415: await client.post(PATH, content=b"x"),
        400: await client.post(PATH, content=b"{", headers={"content-type": "application/json"}),
        413: await client.post(
            PATH, content=b"x" * 2_000_001, headers={"content-type": "application/json"}
        ),
    }
    engine.is_full = True
    answers[429] = await client.post(PATH, json=body())
    for status, response in answers.items():
        assert response.status_code == status
        assert error_of(response)["message"]
    assert answers[429].headers["retry-after"] == "7"
    assert error_of(answers[413])["type"] == "invalid_request_error"


async def test_other_endpoints_keep_openais_form(client: httpx.AsyncClient) -> None:
    for path in ("/v1/messages2", "/v1/responses/x", "/v1/nothing"):
        assert set((await client.get(path)).json()["error"]) == {"message", "type", "param", "code"}
