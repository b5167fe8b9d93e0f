"""`GET /v1/models` and `GET /health`."""

from dataclasses import replace

import httpx
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.wire import error_of

CARD = {
    "id": "fake/thinker",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "qstar",
    "root": "fake/thinker",
    "parent": None,
    "max_model_len": 512,
    "description": "A scripted model.",
    "num_thought_tokens": 3,
    "max_thought_tokens": 8,
    "thinking": {"where": "everywhere", "tokens": []},
    "has_gate": False,
    "has_chat_template": True,
    "thoughts_allowed": True,
    "max_top_logprobs": 20,
}


async def test_the_served_model_is_listed(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models")
    assert response.json() == {"object": "list", "data": [CARD]}


async def test_a_model_whose_name_has_a_slash_is_described(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/models/fake/thinker")).json() == CARD
    assert (await client.get("/v1/models/fake%2Fthinker")).json() == CARD


async def test_a_card_says_what_model_and_operator_allow(engine: FakeEngine) -> None:
    engine.model = replace(engine.model, has_gate=True, chat_template=None)
    async with serving(engine, ServerConfig(allow_thoughts=False, max_logprobs=7)) as client:
        card = (await client.get("/v1/models/fake/thinker")).json()
    assert card == CARD | {
        "has_gate": True,
        "has_chat_template": False,
        "thoughts_allowed": False,
        "max_top_logprobs": 7,
    }


async def test_another_model_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models/fake")
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"


async def test_health_is_200_when_ready(client: httpx.AsyncClient) -> None:
    response = await client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
