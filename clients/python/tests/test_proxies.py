"""Which requests go through a proxy of the environment."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qstar_client import APIStatusError, AsyncQStarClient, QStarClient, QStarClientError
from qstar_client._proxies import is_this_machine

from .conftest import Exchange, Harness, Script, WireServer

MODELS = {"object": "list", "data": []}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A proxy in every variable of the environment; the list has the requests that it got."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(502)
            self.send_header("x-should-retry", "false")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        set_proxies(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        yield seen
        server.shutdown()
        thread.join()


def set_proxies(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", url)
    monkeypatch.setenv("ALL_PROXY", url)


async def test_requests_to_this_machine_avoid_the_proxy(
    harness: Harness, proxy: list[str], serve: Callable[[Script], WireServer]
) -> None:
    """The proxy once got them, with the key."""

    def script(exchange: Exchange) -> None:
        exchange.reply(200, MODELS)

    port = serve(script).base_url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "127.1"):
        client = harness.client(base_url=f"http://{host}:{port}", api_key="sk-hunter22")
        assert await harness.settle(client.models.list()) is not None
    assert proxy == []


async def test_other_requests_use_the_proxy(harness: Harness, proxy: list[str]) -> None:
    client = harness.client(base_url="http://model.test:8000")
    with pytest.raises(APIStatusError):
        await harness.settle(client.models.list())
    assert proxy == ["http://model.test:8000/v1/models"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("127.1", True),
        ("0.0.0.0", True),
        ("[::1]", True),
        ("[::]", True),
        ("[::ffff:127.0.0.1]", True),
        ("10.0.0.1", False),
        ("localhost.test", False),
        ("127.0.0.1.test", False),
        ("[2001:db8::1]", False),
        ("model", False),
    ],
)
def test_hosts_of_this_machine(host: str, expected: bool) -> None:
    assert is_this_machine(f"http://{host}:8000") is expected


@pytest.mark.parametrize("make", [QStarClient, AsyncQStarClient])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("socks5://user:hunter2@proxy.test:1080", r"httpx\[socks\]"),
        ("ftp://user:hunter2@proxy.test", "not the URL of a proxy"),
        ("http://proxy.test:port", "not the URL of a proxy"),
    ],
)
def test_an_unusable_proxy_is_explained_without_its_password(
    make: type[QStarClient | AsyncQStarClient],
    url: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A SOCKS proxy once gave a bare ImportError; the package for it is not installed here."""
    set_proxies(monkeypatch, url)
    with pytest.raises(QStarClientError, match=message) as caught:
        make(base_url="http://model.test")
    assert "hunter2" not in str(caught.value)
    make(base_url="http://127.0.0.1:8000")  # needs no proxy


def test_missing_certificates_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/file.pem")
    with pytest.raises(QStarClientError, match="SSL_CERT_FILE"):
        QStarClient(base_url="https://model.test")
