"""The page at `/`: its files, what a browser may keep, and what the page may do."""

import re
from collections.abc import AsyncIterator
from importlib.resources import files

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.http.keys import KeyRing
from qstar_server.playground.bundle import bundle
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import client_of, serving

ASSETS = sorted(path for path in bundle() if path != "/")


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine, ServerConfig()) as client:
        yield client


async def test_the_page_is_html_and_names_only_files_that_there_are(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 3  # script, style, icon
    assert set(named) <= set(ASSETS)


@pytest.mark.parametrize("path", ASSETS)
async def test_an_asset_is_the_file_of_the_package(client: httpx.AsyncClient, path: str) -> None:
    folder = files("qstar_server.playground") / "bundle"
    response = await client.get(path)
    assert response.status_code == 200
    assert response.content == (folder / path.removeprefix("/")).read_bytes()
    wanted = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    kind = response.headers["content-type"].split(";")
    assert kind[0] == wanted[path.rpartition(".")[2]]
    assert all("charset" in part for part in kind[1:])
    assert len(kind) <= 2


async def test_a_browser_asks_for_the_page_again_and_keeps_its_assets(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/")).headers["cache-control"] == "no-cache"
    for path in ASSETS:
        caching = (await client.get(path)).headers["cache-control"]
        assert caching == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", ["/", ASSETS[0]])
@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
async def test_what_the_browser_has_is_not_sent_again(
    client: httpx.AsyncClient, path: str, known: str
) -> None:
    etag = (await client.get(path)).headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    again = await client.get(path, headers={"if-none-match": known.format(etag)})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    other = await client.get(path, headers={"if-none-match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/", ASSETS[0]])
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    whole, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "content-security-policy"):
        assert head.headers[name] == whole.headers[name]


async def test_another_method_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/", json={})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


def policy_of(response: httpx.Response) -> dict[str, str]:
    """Directive -> its sources."""
    parts = response.headers["content-security-policy"].split("; ")
    return {name: sources for name, _, sources in (part.partition(" ") for part in parts)}


@pytest.mark.parametrize("path", ["/", *ASSETS])
async def test_the_policy_forbids_inline_code_and_other_hosts(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    policy = policy_of(response)
    assert policy["default-src"] == "'none'"
    assert {policy.pop("img-src")} == {"'self' data:"}
    assert set(policy.values()) == {"'none'", "'self'"}
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "camera=()" in response.headers["permissions-policy"]


def test_the_page_has_neither_inline_code_nor_other_hosts() -> None:
    """The policy would block both, and the page would not work."""
    html = bundle()["/"].content.decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", html) == [""]
    assert "<style" not in html
    assert not re.search(r"\s(?:style|on\w+)=", html)
    assert "//" not in html.replace("<!doctype", "")
    for path in ASSETS:
        if path.endswith(".css"):
            assert "url(" not in bundle()[path].content.decode()


NOT_FILES = [
    "/assets",
    "/assets/",
    "/assets/index.js",
    "/assets/../index.html",
    "/assets/..%2Findex.html",
    "/assets/..%2F..%2F__init__.py",
    "/assets/%2e%2e/%2e%2e/page.py",
    "/assets//etc/passwd",
    "/index.html",
    "/licenses.md",
]


@pytest.mark.parametrize("path", NOT_FILES)
async def test_no_path_leads_out_of_the_bundle(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"


async def test_the_page_needs_no_key_and_the_api_does(engine: FakeEngine) -> None:
    async with serving(engine, ServerConfig(api_keys=KeyRing.of(["sk-secret-1"]))) as client:
        for path in ("/", *ASSETS):
            assert (await client.get(path)).status_code == 200
        for path in ("/v1/models", "/assets/other.js", "/assets/"):
            assert (await client.get(path)).status_code == 401


async def test_the_page_is_there_while_the_model_loads() -> None:
    def never() -> Engine:
        raise AssertionError("nothing loads")

    async with client_of(create_app(never, ServerConfig())) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 503


async def test_the_schema_of_the_api_does_not_list_the_page(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/assets")]
