"""Thoughts in the responses endpoint: where they are asked for and allowed, and nowhere else."""

from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.endpoints.responses.wire import PATH, body, of_type, refused, respond, stream
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.scripted_output import THOUGHT_TEXT

FIELDS: list[dict[str, Any]] = [{"show_thoughts": True}, {"include_reasoning": True}]


async def test_reasoning_is_the_joined_thoughts(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    response = await respond(client, include_reasoning=True, num_thought_tokens=2)
    reasoning, message = response["output"]
    assert (reasoning["type"], message["type"]) == ("reasoning", "message")
    assert reasoning["id"].startswith("rs_")
    assert reasoning["summary"] == []
    (part,) = reasoning["content"]
    text = "\n".join([THOUGHT_TEXT] * len(engine.script))
    assert part == {"type": "reasoning_text", "text": text}
    assert "thoughts" not in response


async def test_there_is_one_thought_for_each_token(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    thoughts = (await respond(client, show_thoughts=True))["thoughts"]
    assert [each["token_id"] for each in thoughts] == engine.script
    assert {each["thought"] for each in thoughts} == {"zqz"}
    events = await stream(client, show_thoughts=True)
    assert events[-1]["response"]["thoughts"] == thoughts
    assert [each for event in events[:-1] for each in event.get("thoughts", [])] == thoughts


async def test_deltas_carry_the_thoughts_of_their_tokens(client: httpx.AsyncClient) -> None:
    deltas = of_type(await stream(client, show_thoughts=True), "output_text.delta")
    tokens = ["".join(each["token"] for each in event["thoughts"]) for event in deltas[2:4]]
    assert tokens == [" ", "\ufffd" * 4], "the character 😀 has four tokens"


async def test_without_being_asked_for_no_thought_is_shown(client: httpx.AsyncClient) -> None:
    for is_streamed in (False, True):
        response = await client.post(PATH, json=body(stream=is_streamed, include_reasoning=False))
        assert response.status_code == 200
        assert THOUGHT_TEXT not in response.text
        assert "thoughts" not in response.text


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_operator_can_forbid_thoughts(
    engine: FakeEngine, fields: dict[str, Any], is_streamed: bool
) -> None:
    async with serving(engine, ServerConfig(allow_thoughts=False)) as client:
        error = await refused(client, 403, stream=is_streamed, **fields)
        assert (error["type"], error["code"]) == ("permission_error", "thoughts_forbidden")
        assert error["param"] in fields
        response = await client.post(PATH, json=body(stream=is_streamed))
        assert response.status_code == 200
        assert THOUGHT_TEXT not in response.text
    assert all(not request.show_thoughts for request in engine.submitted)
