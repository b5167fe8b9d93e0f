"""API keys: which requests need one, where it may come from, and that it never shows."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import ValidationError
from qstar_server.http.key_check import KeyCheckMiddleware
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig
from starlette.types import Message, Receive, Scope, Send

from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.live_server import start_server
from tests.server.wire import body, error_of

KEY = "sk-secret-1"
OTHER = "sk-secret-2"
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
async def locked(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The application with two keys."""
    config = ServerConfig(api_keys=KeyRing.of([KEY, OTHER]), max_requests_per_key=2)
    async with serving(engine, config) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/metrics"),
        ("GET", "/version"),
        ("GET", "/nothing"),
        ("GET", "/health/"),
        ("GET", "http://localhost//health"),  # httpx takes //health for a host
        ("GET", "http://localhost//"),
        ("OPTIONS", "/v1/models"),
        ("POST", "/health2"),
        ("POST", "/v1/completions"),
    ],
)
async def test_every_route_but_health_needs_a_key(
    locked: httpx.AsyncClient, method: str, path: str
) -> None:
    response = await locked.request(method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "x-request-id" in response.headers
    error = error_of(response)
    assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
    assert (await locked.request(method, path, headers=BEARER)).status_code != 401


async def test_health_is_open(locked: httpx.AsyncClient) -> None:
    assert (await locked.get("/health")).status_code == 200
    assert (await locked.head("/health")).status_code == 200


async def test_metrics_are_open_where_the_operator_says_so(engine: FakeEngine) -> None:
    config = ServerConfig(api_key=KeyRing.of([KEY]), open_metrics=True)
    async with serving(engine, config) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics/")).status_code == 401
        assert (await client.get("/v1/models")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY},{OTHER}"},
        {"authorization": "Bearer schlüssel".encode()},
        {"authorization": b"Bearer \xff\xfe"},
        {"authorization": f"Bearer {hashlib.sha256(KEY.encode()).hexdigest()}"},
        {"x-api-key": "é".encode()},
        {"x-api-key": ""},
    ],
)
async def test_what_is_no_key_is_401(
    locked: httpx.AsyncClient, headers: dict[str, str | bytes]
) -> None:
    """A header that is not ASCII makes compare_digest raise."""
    sent = [(name.encode(), _bytes(value)) for name, value in headers.items()]
    assert (await locked.get("/v1/models", headers=sent)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"authorization": f"bearer  {OTHER} "},
        {"x-api-key": KEY},
        {"authorization": "Bearer ", "x-api-key": KEY},
    ],
)
async def test_each_key_opens_every_route(
    locked: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await locked.get("/v1/models", headers=headers)).status_code == 200
    response = await locked.post("/v1/completions", json=body(), headers=headers)
    assert response.status_code == 200


async def test_a_page_may_ask_before_it_sends_its_key(engine: FakeEngine) -> None:
    """A browser sends no key with a preflight, and a page must be able to read a 401."""
    origin = {"origin": "http://localhost:3000"}
    config = ServerConfig(api_keys=KeyRing.of([KEY]), allow_origins=("http://localhost:3000",))
    async with serving(engine, config) as client:
        asked = {"access-control-request-method": "POST"} | origin
        preflight = await client.options("/v1/completions", headers=asked)
        assert preflight.status_code == 200
        refused = await client.post("/v1/completions", json=body(), headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == origin["origin"]


async def test_without_keys_any_bearer_passes(client: httpx.AsyncClient) -> None:
    """Some clients always send the header, with an empty key."""
    for value in ("Bearer ", "Bearer", "Bearer x", ""):
        response = await client.get("/v1/models", headers={"authorization": value})
        assert response.status_code == 200


async def test_a_request_ends_for_its_key_with_the_last_byte() -> None:
    """A client may send its next request before the handler of the last one has returned."""
    go_on, sent = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"b"})
        sent.set()
        await asyncio.Event().wait()

    keys = KeyRing.of([KEY])
    checked = KeyCheckMiddleware(app, keys=keys, max_requests_per_key=1, open_paths=[])

    async def status() -> int:
        """Of a request that is sent now; its handler goes on."""
        statuses: asyncio.Queue[int] = asyncio.Queue()

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await statuses.put(message["status"])

        headers = [(b"authorization", f"Bearer {KEY}".encode())]
        scope = {"type": "http", "path": "/", "headers": headers}
        handlers.append(asyncio.ensure_future(checked(scope, receive, send)))
        return await statuses.get()

    handlers: list[asyncio.Future[None]] = []
    assert await status() == 200
    assert await status() == 429
    go_on.set()
    await sent.wait()
    assert await status() == 200
    for handler in handlers:
        handler.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)


async def test_a_key_has_so_many_requests_open_and_no_more(
    locked: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_hung = True
    request = body(max_tokens=2, ignore_eos=True)
    streamed = request | {"stream": True}
    posts = [
        asyncio.create_task(locked.post("/v1/completions", json=each, headers=BEARER))
        for each in (request, streamed)
    ]
    while engine.num_open < 2:
        await asyncio.sleep(0.001)
    third = await locked.post("/v1/completions", json=request, headers=BEARER)
    assert (third.status_code, third.headers["retry-after"]) == (429, "1")
    assert error_of(third)["type"] == "rate_limit_error"
    other = {"x-api-key": OTHER}
    assert (await locked.get("/v1/models", headers=other)).status_code == 200
    engine.is_hung = False
    assert [(await post).status_code for post in posts] == [200, 200]
    assert (await locked.post("/v1/completions", json=request, headers=BEARER)).status_code == 200


async def test_holders_of_different_keys_share_no_prefix(
    locked: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """Else the time to the first token would tell whether another has sent the same text."""
    for key in (KEY, OTHER):
        for fields in ({}, {"cache_salt": "s"}):
            headers = {"x-api-key": key}
            await locked.post("/v1/completions", json=body(**fields), headers=headers)
    salts = [request.cache_salt for request in engine.submitted]
    assert len({*salts}) == 4
    assert None not in salts


async def test_without_keys_the_salt_is_the_clients(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await client.post("/v1/completions", json=body())
    await client.post("/v1/completions", json=body(cache_salt="s"))
    assert [request.cache_salt for request in engine.submitted] == [None, "s"]


def test_keys_come_from_two_variables_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    path.write_text("# for tests\n\n  from-file \nfrom-file-2\n")
    monkeypatch.setenv("QSTAR_API_KEY", "one")
    monkeypatch.setenv("QSTAR_API_KEYS", "two, three")
    monkeypatch.setenv("QSTAR_API_KEY_FILE", str(path))
    keys = ServerConfig().keys
    assert len(keys) == 5
    for key in ("one", "two", "three", "from-file", "from-file-2"):
        assert keys.name_of(key.encode()) == hashlib.sha256(key.encode()).hexdigest()[:8]
    assert keys.name_of(b"# for tests") is None


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("QSTAR_API_KEY", "", "is empty"),
        ("QSTAR_API_KEYS", "a,,b", "is empty"),
        ("QSTAR_API_KEY", "a b", "printable ASCII"),
        ("QSTAR_API_KEYS", "schlüssel", "printable ASCII"),
        ("QSTAR_API_KEY_FILE", "/nowhere", "cannot be read"),
        ("QSTAR_API_KEY_FILE", "/dev/null", "has no key"),
    ],
)
def test_a_wrong_key_stops_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """An empty variable, as a compose file makes it, would otherwise open the server."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=message) as raised:
        ServerConfig()
    assert "schlüssel" not in str(raised.value)


def test_keys_are_neither_printed_nor_logged(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    config = ServerConfig(api_keys=KeyRing.of([KEY]), drain_grace_s=0.2, shutdown_grace_s=1)
    caplog.set_level("DEBUG")
    live = start_server(engine, config)
    for headers in (BEARER, {"authorization": f"Bearer {OTHER}"}):
        httpx.post(f"{live.url}/v1/completions", json=body(), headers=headers)
    live.stop()
    seen = repr(config) + str(config.model_dump()) + caplog.text
    assert "sk-secret" not in seen
    assert KEY.encode().hex() not in seen


def test_the_official_client_sends_a_key_and_understands_a_401(engine: FakeEngine) -> None:
    config = ServerConfig(api_keys=KeyRing.of([KEY]), drain_grace_s=0.2, shutdown_grace_s=1)
    live = start_server(engine, config)
    settings: dict[str, Any] = {"base_url": f"{live.url}/v1", "max_retries": 0}
    with openai.OpenAI(api_key=KEY, **settings) as client:
        assert client.models.list().data[0].id == engine.model.name
    with openai.OpenAI(api_key="wrong", **settings) as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.models.list()
        assert raised.value.code == "invalid_api_key"
    live.stop()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
