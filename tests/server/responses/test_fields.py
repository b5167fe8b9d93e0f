"""Fields of the request: each is honoured, or refused by name."""

from typing import Any

import httpx
import pytest

from tests.server.fake_engine import FakeEngine
from tests.server.responses.wire import refused, respond

SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}

REFUSED: list[tuple[str, Any]] = [
    ("store", True),
    ("previous_response_id", "resp_1"),
    ("conversation", "conv_1"),
    ("conversation", {"id": "conv_1"}),
    ("prompt", {"id": "pmpt_1"}),
    ("background", True),
    ("background_options", {"completion_window": "2h"}),
    ("context_management", [{"type": "compaction"}]),
    ("moderation", {"model": "m"}),
    ("prompt_cache_options", {"mode": "explicit"}),
    ("access_programs", {"cyber": "standard"}),
    ("messages", [{"role": "user", "content": "A"}]),
    ("max_tokens", 5),
    ("max_completion_tokens", 5),
    ("response_format", {"type": "json_object"}),
    ("functions", []),
    ("function_call", "auto"),
    ("logprobs", True),
    ("n", 2),
    ("best_of", 2),
    ("echo", True),
    ("include", ["file_search_call.results"]),
    ("include", ["reasoning.encrypted_content"]),
    ("top_logprobs", 3),
    ("truncation", "auto"),
    ("reasoning", {"summary": "detailed"}),
    ("reasoning", {"context": "all_turns"}),
    ("reasoning", {"mode": "pro"}),
    ("reasoning", {"effort": "huge"}),
    ("text", {"verbosity": "low"}),
    ("text", {"format": {"type": "xml"}}),
    ("metadata", {str(number): "" for number in range(17)}),
    ("metadata", {"a" * 65: ""}),
    ("metadata", {"a": "b" * 513}),
    ("metadata", {"a": 1}),
    ("safety_identifier", "s" * 600),
    ("max_output_tokens", 0),
    ("max_output_tokens", True),
    ("temperature", 2.5),
    ("service_tier", "gold"),
    ("custom_logit_processor", "x"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
async def test_what_cannot_be_honoured_is_refused_by_name(
    client: httpx.AsyncClient, engine: FakeEngine, name: str, value: Any
) -> None:
    error = await refused(client, **{name: value})
    assert error["param"] is not None
    assert error["param"].split(".")[0] == name
    assert len(error["message"]) < 600
    assert engine.submitted == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name, _ in REFUSED),
        ("store", False),
        ("background", False),
        ("n", 1),
        ("truncation", "disabled"),
        ("reasoning", {"summary": "auto", "effort": None}),
        ("text", {"verbosity": "medium", "format": {"type": "text"}}),
        ("service_tier", "auto"),
        ("include", []),
        ("prompt_cache_retention", "24h"),
        ("a_field_from_the_future", 3),
    ],
)
async def test_what_changes_nothing_is_accepted(
    client: httpx.AsyncClient, name: str, value: Any
) -> None:
    assert (await respond(client, **{name: value}))["status"] == "completed"


async def test_null_and_absent_store_are_stateless(client: httpx.AsyncClient) -> None:
    assert (await respond(client, store=None))["store"] is False
    assert (await respond(client))["store"] is False


async def test_fields_reach_the_engine(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await respond(
        client, temperature=0.5, top_p=0.75, seed=7, stop=["x"], num_thought_tokens=2, priority=3
    )
    request = engine.submitted[0]
    params = request.params
    assert (params.temperature, params.top_p, params.seed) == (0.5, 0.75, 7)
    assert (params.stop, params.num_thought_tokens, request.priority) == (("x",), 2, 3)
    assert params.max_tokens is None, "without a limit the context is filled"


async def test_effort_none_turns_thinking_off(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    response = await respond(client, reasoning={"effort": "none"}, include_reasoning=True)
    assert engine.submitted[0].params.num_thought_tokens == 0
    assert response["reasoning"]["effort"] == "none"
    assert [item["type"] for item in response["output"]] == ["message"]


async def test_two_efforts_must_agree(client: httpx.AsyncClient) -> None:
    assert await respond(client, reasoning={"effort": "low"}, reasoning_effort="low")
    await refused(client, reasoning={"effort": "low"}, reasoning_effort="high")
