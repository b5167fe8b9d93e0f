"""Calls that must come, of a real random model: they follow the schema of their tool."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.endpoints.responses.wire import respond, same, stream
from tests.server.in_process import serving
from tests.server.real_engine import CALLING_TEMPLATE, create_real_engine

PLACE = {
    "type": "object",
    "properties": {"at": {"enum": ["here", "there"]}},
    "required": ["at"],
    "additionalProperties": False,
}
LOOK = {"type": "function", "name": "look", "parameters": PLACE}
STOP = {"type": "function", "name": "stop"}


@pytest.fixture(scope="module")
def calling_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("toy") / "checkpoint"
    engine = create_real_engine(directory, template=CALLING_TEMPLATE)
    yield engine
    engine.close()


@pytest.fixture
async def client(calling_engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(calling_engine, ServerConfig()) as client:
        yield client


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("has_reasoning", [False, True])
async def test_a_named_tool_is_called_with_valid_arguments(
    client: httpx.AsyncClient, seed: int, has_reasoning: bool
) -> None:
    fields: dict[str, Any] = {
        "tools": [LOOK, STOP],
        "tool_choice": {"type": "function", "name": "look"},
        "seed": seed,
        "include_reasoning": has_reasoning,
    }
    whole = same(await respond(client, **fields))
    *reasoning, call = whole["output"]
    assert [item["type"] for item in reasoning] == ["reasoning"] * has_reasoning
    assert (call["type"], call["name"], call["status"]) == ("function_call", "look", "completed")
    jsonschema.validate(json.loads(call["arguments"]), PLACE)
    last = same((await stream(client, **fields))[-1]["response"])
    assert last["output"] == whole["output"]
