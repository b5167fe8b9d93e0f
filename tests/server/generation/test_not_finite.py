"""A number that is not finite ends its request with an error, at every exit of the server."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from qstar_client import QStarClient, ServerError, StreamError
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.llm_engine import LLMEngine
from tests.parity.toy import make_toy
from tests.server.fake_engine import MODEL
from tests.server.in_process import serving
from tests.server.live_server import start_server
from tests.server.wire import chunks_of, complete, error_of

BAD = 99
"""A token whose embedding is NaN."""
BAD_PROMPT = [1, BAD, 2]
GOOD: dict[str, Any] = {"prompt": [1, 2, 3], "temperature": 0, "max_tokens": 4, "ignore_eos": True}


@pytest.fixture(scope="module")
def broken_engine() -> Iterator[AsyncEngine]:
    model = make_toy().model
    model.get_parameter("backbone.model.embed_tokens.weight").data[BAD] = math.nan
    engine = AsyncEngine(LLMEngine(model, name=MODEL))
    yield engine
    assert engine.stats().num_free_blocks == engine.stats().num_blocks
    engine.close()


@pytest.fixture
async def broken_client(
    broken_engine: AsyncEngine, config: ServerConfig
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(broken_engine, config) as client:
        yield client


def check(error: dict[str, Any]) -> None:
    """The envelope's error says what is wrong, in which dtype, and what to do."""
    assert error["type"] == "server_error"
    assert error["code"] == "numbers_not_finite"
    assert "not finite" in error["message"]
    assert "float32" in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"logprobs": 2},
        {"echo": True, "logprobs": 0, "max_tokens": 0},
        {"show_thoughts": True},
        {"n": 2, "best_of": 3},
        {"prompt": [[1, 2], BAD_PROMPT]},
    ],
)
async def test_a_whole_answer_is_a_500_that_is_not_retried(
    broken_client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    request = {"model": MODEL, "prompt": BAD_PROMPT, **fields}
    response = await broken_client.post("/v1/completions", json=request)
    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"
    check(error_of(response))


async def test_a_stream_ends_with_an_error_event(broken_client: httpx.AsyncClient) -> None:
    request = {"model": MODEL, "prompt": BAD_PROMPT, "stream": True}
    response = await broken_client.post("/v1/completions", json=request)
    (event,) = chunks_of(response.text)
    check(event["error"])


async def test_other_requests_go_on_and_nothing_more_is_logged(
    broken_client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine has logged it once; each request's own answer says the rest."""
    want = await complete(broken_client, **GOOD)
    bad = {"model": MODEL, "prompt": BAD_PROMPT}
    caplog.set_level(logging.WARNING)
    caplog.clear()
    good, *failed = await asyncio.gather(
        complete(broken_client, **GOOD),
        *(broken_client.post("/v1/completions", json=bad) for _ in range(5)),
    )
    assert good["choices"] == want["choices"]
    assert [response.status_code for response in failed] == [500] * 5
    assert caplog.records == []


def test_the_python_client_raises_the_servers_message(
    broken_engine: AsyncEngine, config: ServerConfig
) -> None:
    live = start_server(broken_engine, config)
    with QStarClient(base_url=f"{live.url}/v1", api_key="none") as client:
        with pytest.raises(ServerError) as whole:
            client.completions.create(prompt=BAD_PROMPT, show_thoughts=True)
        with pytest.raises(StreamError) as streamed:
            list(client.completions.stream(prompt=BAD_PROMPT))
    live.stop()
    for error in (whole.value, streamed.value):
        assert error.code == "numbers_not_finite"
        assert "not finite" in str(error)
        assert "base_url" not in str(error)
