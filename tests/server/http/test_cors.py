"""A browser lets a page read answers only if the operator allows the page's origin."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.wire import body, error_of

PAGE = "http://localhost:3000"
OTHER = "https://evil.example"
ALLOW = "access-control-allow-origin"


@pytest.fixture
def config() -> ServerConfig:
    return ServerConfig(allow_origins=(PAGE,))


@pytest.fixture
async def open_client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The application with every origin allowed."""
    async with serving(engine, ServerConfig(allow_origins=("*",))) as client:
        yield client


@pytest.fixture
async def closed_client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The application as it is by default."""
    async with serving(engine, ServerConfig()) as client:
        yield client


async def preflight(client: httpx.AsyncClient, origin: str, **headers: str) -> httpx.Response:
    """What a browser asks before it sends JSON."""
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, authorization, x-stainless-lang",
    }
    return await client.options("/v1/completions", headers=asked | headers)


async def test_a_preflight_of_an_allowed_page_is_answered(client: httpx.AsyncClient) -> None:
    response = await preflight(client, PAGE)
    assert response.status_code == 200
    assert response.headers[ALLOW] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"]
    assert {"content-type", "authorization", "x-stainless-lang"} <= set(allowed.split(", "))
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("origin", [OTHER, "http://localhost:3001", "https://localhost:3000"])
async def test_any_other_page_is_not_allowed(client: httpx.AsyncClient, origin: str) -> None:
    response = await preflight(client, origin)
    assert response.status_code == 400
    assert error_of(response)["message"] == "Disallowed CORS origin."
    assert ALLOW not in response.headers
    answer = await client.get("/v1/models", headers={"origin": origin})
    assert ALLOW not in answer.headers
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("method", "path", "request_body", "status"),
    [
        ("GET", "/v1/models", None, 200),
        ("HEAD", "/health", None, 200),
        ("POST", "/v1/completions", body(), 200),
        ("POST", "/v1/completions", body(stream=True), 200),
        ("POST", "/v1/completions", body(n=0), 400),
        ("POST", "/v1/completions", body(model="other"), 404),
        ("GET", "/nowhere", None, 404),
        ("GET", "/v1/completions", None, 405),
    ],
)
async def test_every_answer_names_the_allowed_page(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    request_body: dict[str, Any] | None,
    status: int,
) -> None:
    headers = {"origin": PAGE}
    response = await client.request(method, path, json=request_body, headers=headers)
    assert response.status_code == status
    assert response.headers[ALLOW] == PAGE
    assert "x-request-id" in response.headers["access-control-expose-headers"]


async def test_an_internal_error_names_the_allowed_page(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the page sees a network error, without a status or a message."""

    def encode(*_: object, **__: object) -> list[int]:
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "encode", encode)
    response = await client.post("/v1/completions", json=body(), headers={"origin": PAGE})
    assert (response.status_code, response.headers[ALLOW]) == (500, PAGE)


async def test_all_pages_can_be_allowed(open_client: httpx.AsyncClient) -> None:
    assert (await preflight(open_client, OTHER)).headers[ALLOW] == "*"
    answer = await open_client.get("/v1/models", headers={"origin": OTHER})
    assert answer.headers[ALLOW] == "*"


async def test_by_default_no_page_is_allowed(closed_client: httpx.AsyncClient) -> None:
    response = await preflight(closed_client, PAGE)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    error_of(response)
    answer = await closed_client.get("/v1/models", headers={"origin": PAGE})
    assert answer.status_code == 200
    for each in (response, answer):
        assert not [name for name in each.headers if name.startswith("access-control")]


async def test_a_page_may_use_a_server_of_the_local_network(client: httpx.AsyncClient) -> None:
    """Chrome asks this for a page of the web that calls a private address."""
    asked = {"access-control-request-private-network": "true"}
    response = await preflight(client, PAGE, **asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-private-network"] == "true"
