"""`/docs` shows `/openapi.json` in a browser, with nothing from another host."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
import pytest
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.in_process import client_of


class References(HTMLParser):
    """The URLs that a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        self.urls += [value for name, value in attrs if name in ("src", "href") and value]


async def page(client: httpx.AsyncClient) -> str:
    response = await client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    return response.text


async def test_everything_comes_from_this_server(client: httpx.AsyncClient) -> None:
    urls = References(await page(client)).urls
    assert len(urls) >= 3
    for url in urls:
        assert urlsplit(url)[:2] == ("", ""), f"{url} is on another host"
        assert (await client.get(url)).status_code == 200


async def test_the_page_shows_this_servers_schema(client: httpx.AsyncClient) -> None:
    text = await page(client)
    shown = re.search(r"url: '([^']+)'", text)
    assert shown
    assert shown[1] == "/openapi.json"
    assert '"validatorUrl": null' in text, "it would send the schema's address to another host"


@pytest.mark.parametrize("path", ["/redoc", "/static-offline-docs/../app.py", "/docs/x"])
async def test_there_is_no_other_page(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_the_page_does_not_wait_for_the_model(engine: FakeEngine) -> None:
    async with client_of(create_app(lambda: engine, ServerConfig())) as client:
        assert (await client.get("/health")).status_code == 503
        await page(client)
        names = (await client.get("/openapi.json")).json()["paths"]
        assert "/v1/completions" in names
