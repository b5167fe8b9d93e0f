"""Structured output of a real model, parsed by the official client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import pytest
from pydantic import BaseModel
from qstar_server.settings.config import ServerConfig

from tests.server.endpoints.responses.wire import refused, respond, stream, text_of
from tests.server.fake_engine import MODEL
from tests.server.live_server import start_server
from tests.server.real_engine import create_real_engine

SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "boolean"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


class Answer(BaseModel):
    """A short one, because the toy has 256 positions."""

    a: bool


@pytest.fixture
def real_openai(tmp_path: Path) -> Iterator[openai.OpenAI]:
    # Not the engine of other tests: a server closes its engine when it stops.
    engine = create_real_engine(tmp_path / "checkpoint")
    server = start_server(engine, ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client
    server.stop()


def test_the_official_client_parses_an_answer(real_openai: openai.OpenAI) -> None:
    response = real_openai.responses.parse(
        model=MODEL, input="Hi", text_format=Answer, temperature=0
    )
    parsed = response.output_parsed
    assert parsed is not None
    assert parsed == Answer.model_validate_json(response.output_text)


def test_the_official_client_parses_a_stream(real_openai: openai.OpenAI) -> None:
    with real_openai.responses.stream(
        model=MODEL, input="Hi", text_format=Answer, temperature=0
    ) as events:
        response = events.get_final_response()
    assert isinstance(response.output_parsed, Answer)


@pytest.mark.parametrize("seed", range(3))
async def test_text_follows_a_schema_in_stream_and_whole(
    real_client: httpx.AsyncClient, seed: int
) -> None:
    text_format = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    fields: dict[str, Any] = {"text": {"format": text_format}, "seed": seed}
    whole = await respond(real_client, **fields)
    last = (await stream(real_client, **fields))[-1]["response"]
    assert text_of(whole) == text_of(last)
    assert whole["status"] == "completed"
    jsonschema.validate(json.loads(text_of(whole)), SCHEMA)
    assert whole["text"]["format"] == text_format


async def test_a_schema_that_cannot_be_followed_is_refused(real_client: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "nothing"}}}
    text_format = {"type": "json_schema", "name": "n", "schema": schema}
    error = await refused(real_client, text={"format": text_format})
    assert error["param"] == "text.format"
