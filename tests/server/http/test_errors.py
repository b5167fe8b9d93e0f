"""Every error has OpenAI's envelope, the right status and the right headers."""

import asyncio
import logging

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from qstar_infer.errors import EngineDeadError, RequestFailedError
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import client_of
from tests.server.live_server import LiveServer
from tests.server.wire import body, error_of, refused


async def test_unknown_path_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/nothing/" + "x" * 1000)
    assert response.status_code == 404
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/completions", "POST"),
        ("PUT", "/v1/completions", "POST"),
        ("OPTIONS", "/v1/completions", "POST"),
        ("HEAD", "/v1/completions", "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/health", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/v1/responses/x", "DELETE, GET, HEAD"),
        ("OPTIONS", "/tokenize", "POST"),
    ],
)
async def test_wrong_method_is_405(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    if method != "HEAD":
        error_of(response)


@pytest.mark.parametrize(
    "path",
    ["/health", "/v1/models", "/v1/models/fake/thinker", "/v1/models/x", "/openapi.json", "/x"],
)
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert get.content
    assert head.content == b""
    for response in (head, get):
        del response.headers["x-request-id"]
    assert (head.status_code, head.headers) == (get.status_code, get.headers)


def test_head_keeps_a_connection_usable(live: LiveServer) -> None:
    """A body after the answer to a HEAD would be read as the next answer."""
    with httpx.Client(base_url=live.url) as client:
        for _ in range(2):
            head = client.head("/v1/models")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) == len(client.get("/v1/models").content)


def test_head_is_503_while_the_model_loads(engine: FakeEngine, config: ServerConfig) -> None:
    app = create_app(lambda: engine, config)
    response = asyncio.run(client_of(app).head("/health"))
    assert (response.status_code, response.content) == (503, b"")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]
)
async def test_wrong_content_type_is_415(client: httpx.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type}
    response = await client.post("/v1/completions", content=b"{}", headers=headers)
    assert response.status_code == 415
    assert "application/json" in error_of(response)["message"]


async def test_a_charset_is_fine(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    raw = b'{"model": "fake/thinker", "prompt": "A"}'
    response = await client.post("/v1/completions", content=raw, headers=headers)
    assert response.status_code == 200


async def test_too_large_a_body_is_413(client: httpx.AsyncClient) -> None:
    await refused(client, 413, prompt="x" * 2_000_001)


async def test_unknown_model_is_404(client: httpx.AsyncClient) -> None:
    error = await refused(client, 404, model="other" * 1000)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert len(error["message"]) < 200


async def test_a_full_queue_is_429_with_whole_seconds(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_full = True
    response = await client.post("/v1/completions", json=body(prompt=["A", "B"], n=2))
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    assert error_of(response)["type"] == "rate_limit_error"


async def test_an_engine_that_dies_answers_503(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = [72]
    engine.step_s = 0.05

    sending = asyncio.create_task(client.post("/v1/completions", json=body(max_tokens=400)))
    while engine.num_open == 0:
        await asyncio.sleep(0.01)
    engine.die(EngineDeadError("device-side assert; thought was zqzqzq"))
    response = await sending
    assert response.status_code == 503
    assert response.headers["x-should-retry"] == "false"
    error = error_of(response)
    assert error["type"] == "service_unavailable_error"
    assert "zqzq" not in error["message"]
    assert (await client.get("/health")).status_code == 503
    after = await client.post("/v1/completions", json=body())
    assert (after.status_code, error_of(after)["code"]) == (503, "engine_dead")


async def test_an_unexpected_exception_is_500_and_keeps_its_words_to_the_log(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def encode(*_: object, **__: object) -> list[int]:
        raise ZeroDivisionError("the tokenizer broke")

    monkeypatch.setattr(engine, "encode", encode)
    caplog.set_level(logging.ERROR)
    response = await client.post("/v1/completions", json=body(), headers={"x-request-id": "r-1"})
    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"] == "r-1"
    assert "tokenizer" not in error_of(response)["message"]
    assert "the tokenizer broke" in caplog.text
    assert "r-1" in caplog.text


async def test_a_request_that_the_engine_failed_at_is_500(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.step_s = 0.05
    sending = asyncio.create_task(client.post("/v1/completions", json=body(max_tokens=400)))
    while engine.num_open == 0:
        await asyncio.sleep(0.01)
    engine.fail(RequestFailedError("OutOfMemoryError; thought was zqzqzq"))
    response = await sending
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal_error"
    assert "zqzq" not in response.text
    assert "Memory" not in response.text


@pytest.mark.parametrize("request_id", ["abc", "x" * 128, "with space"])
async def test_a_sane_request_id_comes_back(client: httpx.AsyncClient, request_id: str) -> None:
    for path in ("/health", "/nowhere"):
        response = await client.get(path, headers={"x-request-id": request_id})
        assert response.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a\tb", b"\xc3\xa9"])
async def test_any_other_request_id_is_replaced(
    client: httpx.AsyncClient, request_id: str | bytes
) -> None:
    raw = request_id.encode() if isinstance(request_id, str) else request_id
    response = await client.get("/health", headers=[(b"x-request-id", raw)])
    new = response.headers["x-request-id"]
    assert len(new) == 32
    assert new.isalnum()
