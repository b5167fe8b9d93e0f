"""Answers that must have a form, with a real random model: JSON, and calls that must come."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import httpx
import jsonschema
import openai
import pytest
from pydantic import BaseModel
from qstar_server.settings.config import ServerConfig

from qstar_infer.checkpoint.save import save_model
from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from tests.device import DEVICE
from tests.parity.toy import make_toy
from tests.server.endpoints.chat.wire import ask, joined, refused, stream, without_ids
from tests.server.fake_engine import MODEL
from tests.server.in_process import serving

TEMPLATE = (
    '{% if tools %}<tool_call>"arguments"{% endif %}'
    "{% for each in messages %}{{ each.role[0] + ':' + each.content + '\\n' }}{% endfor %}a:"
)
"""Shows the format of Hermes, and not the tools, because the toy has 256 positions."""
PLACE = {
    "type": "object",
    "properties": {"at": {"$ref": "#/$defs/At"}, "deep": {"type": "boolean"}},
    "required": ["at", "deep"],
    "additionalProperties": False,
    "$defs": {"At": {"enum": ["here", "there"]}},
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": PLACE}}
STOP = {"type": "function", "function": {"name": "stop"}}


@pytest.fixture(scope="module")
def calling_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The toy model with a template that takes tools."""
    directory = tmp_path_factory.mktemp("toy") / "checkpoint"
    model = make_toy().model
    model.tokenizer.chat_template = TEMPLATE
    save_model(model, directory)
    args = EngineArgs.of(
        model=str(directory),
        dtype="float32",
        device=DEVICE,
        served_model_name=MODEL,
        num_blocks=512,
    )
    engine = create_async_engine(args)
    yield engine
    engine.close()


@pytest.fixture
async def client(calling_engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(calling_engine, ServerConfig()) as client:
        yield client


@pytest.mark.parametrize("seed", range(4))
async def test_a_named_tool_is_called_with_valid_arguments(
    client: httpx.AsyncClient, seed: int
) -> None:
    choice = {"type": "function", "function": {"name": "look"}}
    fields: dict[str, Any] = {"tools": [LOOK, STOP], "tool_choice": choice, "seed": seed}
    whole = (await ask(client, **fields, temperature=2.0))["choices"][0]
    assert whole["message"]["content"] is None
    (call,) = whole["message"]["tool_calls"]
    assert call["function"]["name"] == "look"
    jsonschema.validate(json.loads(call["function"]["arguments"]), PLACE)
    assert whole["finish_reason"] == "tool_calls"
    streamed = joined(await stream(client, **fields, temperature=2.0))[0]
    assert without_ids(streamed) == without_ids(whole)


async def test_required_calls_one_of_the_tools(client: httpx.AsyncClient) -> None:
    whole = await ask(
        client,
        tools=[LOOK, STOP],
        tool_choice="required",
        parallel_tool_calls=False,
        n=8,
        seed=1,
        temperature=2.0,
    )
    names = set()
    for choice in whole["choices"]:
        (call,) = choice["message"]["tool_calls"]
        names.add(call["function"]["name"])
        assert choice["finish_reason"] == "tool_calls"
    assert names == {"look", "stop"}


async def test_a_schema_that_cannot_be_followed_is_refused(client: httpx.AsyncClient) -> None:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "what"}}}}
    tools = [{"type": "function", "function": tool}]
    error = await refused(client, tools=tools, tool_choice="required")
    assert error["param"] == "tool_choice"
    assert len(error["message"]) < 2000


class Weather(BaseModel):
    kind: Literal["rain", "sun"]
    is_cold: bool


async def test_json_follows_its_schema_in_wholes_and_streams(client: httpx.AsyncClient) -> None:
    schema = Weather.model_json_schema() | {"additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    fields: dict[str, Any] = {"response_format": form, "seed": 2, "n": 3, "show_thoughts": True}
    whole = await ask(client, **fields)
    streamed = joined(await stream(client, **fields))
    for choice in whole["choices"]:
        jsonschema.validate(json.loads(choice["message"]["content"]), schema)
        assert choice["finish_reason"] == "stop"
        assert streamed[choice["index"]] == choice


async def test_the_official_client_parses_a_model_and_a_tool(client: httpx.AsyncClient) -> None:
    official = openai.AsyncOpenAI(
        base_url=f"{client.base_url}/v1",
        api_key="none",
        max_retries=0,
        http_client=client,  # type: ignore[arg-type]  # declares a copy of httpx, and takes it
    )
    hi: list[Any] = [{"role": "user", "content": "Hi"}]
    answer = await official.chat.completions.parse(
        model=MODEL, messages=hi, response_format=Weather, seed=1
    )
    assert isinstance(answer.choices[0].message.parsed, Weather)
    called = await official.chat.completions.parse(
        model=MODEL,
        messages=hi,
        tools=[openai.pydantic_function_tool(Weather)],
        tool_choice={"type": "function", "function": {"name": "Weather"}},
        seed=1,
    )
    (call,) = called.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)
