"""Calls that must come, of a real random model: they follow the schema of their tool."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.endpoints.messages.wire import joined, message, same, stream
from tests.server.in_process import serving
from tests.server.real_engine import CALLING_TEMPLATE, create_real_engine

PLACE = {
    "type": "object",
    "properties": {"at": {"enum": ["here", "there"]}},
    "required": ["at"],
    "additionalProperties": False,
}
LOOK = {"name": "look", "input_schema": PLACE}


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
@pytest.mark.parametrize("kind", ["any", "tool"])
async def test_a_tool_is_called_with_valid_input(
    client: httpx.AsyncClient, seed: int, kind: str
) -> None:
    choice = {"type": "any", "disable_parallel_tool_use": True}
    if kind == "tool":
        choice = {"type": "tool", "name": "look"}
    fields: dict[str, Any] = {
        "tools": [LOOK],
        "tool_choice": choice,
        "seed": seed,
        "max_tokens": 1000,
    }
    whole = await message(client, **fields)
    assert whole["stop_reason"] == "tool_use"
    (call,) = whole["content"]
    jsonschema.validate(call["input"], PLACE)
    assert same(joined(await stream(client, **fields)))["content"] == same(whole)["content"]
