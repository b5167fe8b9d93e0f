"""Thoughts in the messages endpoint: where `thinking` asks for them, and nowhere else."""

from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.endpoints.messages.wire import PATH, body, message, refused
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.scripted_output import THOUGHT_TEXT

ADAPTIVE = {"type": "adaptive"}


async def test_thoughts_are_a_block_before_the_text(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    whole = await message(client, thinking=ADAPTIVE, num_thought_tokens=2, max_tokens=300)
    thinking, text = whole["content"]
    assert (thinking["type"], text["type"]) == ("thinking", "text")
    assert thinking["thinking"] == "\n".join([THOUGHT_TEXT] * len(engine.script))


@pytest.mark.parametrize(
    "thinking", [None, {"type": "disabled"}, {"type": "adaptive", "display": "omitted"}]
)
async def test_otherwise_no_thought_is_shown(client: httpx.AsyncClient, thinking: Any) -> None:
    for is_streamed in (False, True):
        response = await client.post(PATH, json=body(thinking=thinking, stream=is_streamed))
        assert response.status_code == 200
        assert THOUGHT_TEXT not in response.text
        assert '"thinking"' not in response.text


async def test_disabled_does_not_think(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    whole = await message(client, thinking={"type": "disabled"})
    assert engine.submitted[0].params.num_thought_tokens == 0
    assert whole["usage"]["output_tokens_details"]["thinking_tokens"] == 0
    await refused(client, thinking={"type": "disabled"}, num_thought_tokens=2)


@pytest.mark.parametrize(
    ("budget", "length"), [(79, 3), (61, 3), (60, 3), (59, 2), (54, 2), (53, 1), (40, 1)]
)
async def test_a_budget_is_never_exceeded_nor_are_max_tokens(
    client: httpx.AsyncClient, engine: FakeEngine, budget: int, length: int
) -> None:
    """The model was trained with three tokens a thought."""
    engine.script = engine.script[:-1]
    thinking = {"type": "enabled", "budget_tokens": budget}
    usage = (await message(client, thinking=thinking, max_tokens=80))["usage"]
    assert engine.submitted[0].params.num_thought_tokens == length
    num_thought_tokens = usage["output_tokens_details"]["thinking_tokens"]
    assert 0 < num_thought_tokens <= budget
    assert 80 - length <= usage["output_tokens"] + num_thought_tokens <= 80


async def test_effort_chooses_the_length(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await message(client, output_config={"effort": "low"})
    assert engine.submitted[0].params.num_thought_tokens == 2, "half of three, rounded up"


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_operator_can_forbid_thoughts(engine: FakeEngine, is_streamed: bool) -> None:
    async with serving(engine, ServerConfig(allow_thoughts=False)) as client:
        error = await refused(client, 403, thinking=ADAPTIVE, stream=is_streamed)
        assert error["type"] == "permission_error"
        assert engine.submitted == []
        for thinking in (None, ADAPTIVE | {"display": "omitted"}):
            await message(client, thinking=thinking)
    assert not any(request.show_thoughts for request in engine.submitted)
