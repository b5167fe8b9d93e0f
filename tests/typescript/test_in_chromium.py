"""The TypeScript client in a page of a browser, from another origin than the server's."""

import functools
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until

KEY = "sk-hunter22"
PROGRAM = """async ([url, apiKey, body]) => {
    const qstar = await import("/dist/index.js");
    const client = new qstar.QStarClient({ baseURL: url, apiKey, maxRetries: 0 });
    const run = new Function("client", `return (async () => { ${body} })()`);
    try {
        return await run(client);
    } catch (error) {
        const { name, message, status, code, requestId, retryAfterS } = error;
        return { name, message, status, code, requestId, retryAfterS };
    }
}"""
STREAM = """
    const messages = [{ role: "user", content: "Hi" }];
    const stream = client.chat.completions.stream({ messages, show_thoughts: true });
    let text = "";
    for await (const event of stream) {
        if (event.type === "text") text += event.text;
        if (leaves) break;
    }
    return { text, answer: leaves ? null : await stream.final() };
"""


class Files(SimpleHTTPRequestHandler):
    """Serves the package's files, and redirects requests that are posted to it."""

    def __init__(self, posted: list[str], *args: Any, **kwargs: Any) -> None:
        self.posted = posted
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:
        self.posted.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(307)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def posted() -> list[str]:
    """Paths of the requests that were posted to the server of the files."""
    return []


@pytest.fixture
def origin(package: Path, posted: list[str]) -> Iterator[str]:
    """A server of the built client."""
    handler = functools.partial(Files, posted, directory=package)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is missing")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    """A page of that server."""
    page = browser.new_page()
    page.goto(f"{origin}/package.json")
    yield page
    page.close()


@pytest.fixture
def allowed(engine: FakeEngine, origin: str) -> Iterator[LiveServer]:
    """A server with a key that lets the page read its answers."""
    config = {"api_key": KEY, "allow_origins": (origin,), "drain_grace_s": 0.2}
    server = start_server(engine, ServerConfig.model_validate(config))
    yield server
    server.stop()


def run(page: Page, url: str, body: str, *, key: str = KEY) -> Any:
    """What a program gives in the page: its result, or the fields of its error."""
    return page.evaluate(PROGRAM, [url, key, body])


def test_a_stream_with_thoughts(page: Page, allowed: LiveServer) -> None:
    outcome = run(page, allowed.url, f"const leaves = false; {STREAM}")
    assert outcome["text"] == SCRIPT
    (choice,) = outcome["answer"]["choices"]
    assert choice["message"]["content"] == SCRIPT
    assert len(choice["thoughts"]) == outcome["answer"]["usage"]["completion_tokens"] > 3


def test_the_page_of_the_readme(page: Page, package: Path, engine: FakeEngine, origin: str) -> None:
    readme = (package / "README.md").read_text(encoding="utf-8")
    (html,) = re.findall(r"```html\n(.*?)```", readme, re.DOTALL)
    server = start_server(engine, ServerConfig(allow_origins=(origin,), drain_grace_s=0.2))
    html = html.replace("http://127.0.0.1:8000", server.url).replace("./qstar-client/", "/")
    assert server.url in html
    (package / "page.html").write_text(html, encoding="utf-8")
    page.goto(f"{origin}/page.html")
    answer = page.locator("#answer")
    wait_until(lambda: answer.text_content() == SCRIPT.encode()[:16].decode())
    server.stop()


def test_leaving_a_stream_frees_the_server(
    page: Page, allowed: LiveServer, engine: FakeEngine
) -> None:
    engine.step_s = 0.05
    assert len(run(page, allowed.url, f"const leaves = true; {STREAM}")["text"]) <= 1
    wait_until(lambda: engine.num_open == 0)
    assert len(engine.aborted) == 1


def test_errors(page: Page, allowed: LiveServer, engine: FakeEngine) -> None:
    wrong = run(page, allowed.url, "return client.models.list()", key="sk-wrong")
    assert (wrong["name"], wrong["status"]) == ("AuthenticationError", 401)
    engine.is_full = True
    busy = run(page, allowed.url, 'return client.completions.create({ prompt: "x" })')
    assert (busy["name"], busy["code"], busy["retryAfterS"]) == ("RateLimitError", "queue_full", 7)
    assert busy["requestId"]


def test_a_server_that_does_not_allow_the_page(page: Page, live: LiveServer) -> None:
    error = run(page, live.url, "return client.models.list()")
    assert error["name"] == "APIConnectionError"
    assert "--allow-origin" in error["message"]


def test_a_redirect_is_not_followed(page: Page, posted: list[str]) -> None:
    """The base URL is the origin of the page, so that no preflight comes before the redirect."""
    create = 'return client.completions.create({ prompt: "x", model: "m" })'
    error = run(page, "", create)
    assert (error["name"], error["status"]) == ("APIStatusError", 0)
    assert "the server redirects; set baseURL" in error["message"]
    assert posted == ["/v1/completions"]
