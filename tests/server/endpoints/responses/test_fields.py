"""Fields of the request: each is honoured, or refused by name."""

from typing import Any

import httpx
import pytest

from qstar_infer.structured_outputs import StructuredOutputs
from tests.server.endpoints.responses.wire import of_type, refused, respond, stream
from tests.server.fake_engine import FakeEngine

LOGPROBS = "message.output_text.logprobs"
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
    ("return_token_ids", True),
    ("continue_final_message", True),
    ("text", {"format": {"type": "json_schema", "name": "n"}}),
    ("text", {"format": {"type": "json_object", "schema": SCHEMA}}),
    ("top_logprobs", 21),
    ("tools", [{"type": "web_search"}]),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "name": "f"}),
    ("tool_choice", {"type": "file_search"}),
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


async def test_logprobs_of_the_text(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    fields: dict[str, Any] = {"include": [LOGPROBS], "top_logprobs": 2}
    whole = await respond(client, **fields)
    logprobs = whole["output"][0]["content"][0]["logprobs"]
    assert [bytes(each["bytes"]) for each in logprobs] == [
        engine.token_bytes(token_id) for token_id in engine.script
    ]
    assert {len(each["top_logprobs"]) for each in logprobs} == {2}
    assert whole["top_logprobs"] == 2
    events = await stream(client, **fields)
    deltas = of_type(events, "output_text.delta")
    assert [each for event in deltas for each in event["logprobs"]] == logprobs
    assert of_type(events, "output_text.done")[0]["logprobs"] == logprobs
    # The first piece of a character has no text of its own.
    assert [each["token"] for each in deltas[1]["logprobs"]] == ["\ufffd", "\ufffd"]


async def test_logprobs_of_the_chosen_tokens_alone(client: httpx.AsyncClient) -> None:
    response = await respond(client, include=[LOGPROBS])
    logprobs = response["output"][0]["content"][0]["logprobs"]
    assert logprobs[0] == {"token": "H", "bytes": [72], "logprob": -3.3, "top_logprobs": []}


async def test_a_limit_counts_visible_and_thought_tokens(client: httpx.AsyncClient) -> None:
    """Each token costs one and a thought of two."""
    response = await respond(client, max_output_tokens=20, num_thought_tokens=2)
    assert response["usage"]["output_tokens"] == 6
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] == 12
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["max_output_tokens"] == 20


@pytest.mark.parametrize(
    ("text_format", "kind"),
    [
        ({"type": "json_object"}, "json_object"),
        ({"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "json"),
    ],
)
async def test_a_form_reaches_the_engine_and_is_echoed(
    client: httpx.AsyncClient, engine: FakeEngine, text_format: Any, kind: str
) -> None:
    response = await respond(client, text={"format": text_format})
    form = engine.submitted[0].params.structured_outputs
    assert isinstance(form, StructuredOutputs)
    assert form.kind == kind
    assert response["text"]["format"] == text_format


async def test_a_request_id_becomes_the_responses(client: httpx.AsyncClient) -> None:
    assert (await respond(client, request_id="mine"))["id"] == "resp_mine"
