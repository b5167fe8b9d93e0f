"""A page whose name points at 127.0.0.1 (DNS rebinding) must not read the server's answers."""

import httpx
import pytest
from pydantic import ValidationError
from qstar_server.http.hosts import is_loopback
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.wire import body, error_of

FOREIGN = [
    "evil.attacker.test",
    "evil.attacker.test:8000",
    "localhost.evil.test",
    "127.0.0.1.evil.test",
    "127.0.0.2",
    "localhost:80:80",
    "localhost:x",
    "localhost@evil.test",
    "[::1].evil.test",
    "::1",
    "[::2]",
    "é".encode(),
    "x" * 5000,
]


@pytest.mark.parametrize("host", FOREIGN)
async def test_a_foreign_host_is_403(client: httpx.AsyncClient, host: str | bytes) -> None:
    headers = [(b"host", host if isinstance(host, bytes) else host.encode())]
    for method, path in (("GET", "/health"), ("GET", "/v1/models"), ("POST", "/v1/completions")):
        response = await client.request(method, path, headers=headers)
        assert response.status_code == 403, path
        assert error_of(response)["code"] == "host_not_allowed"
        assert len(response.content) < 500


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:65535",
        "localhost:",
    ],
)
async def test_this_machine_is_served_with_any_port(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.post("/v1/completions", json=body(), headers={"host": host})).is_success


async def test_a_second_host_header_does_not_hide_the_first(client: httpx.AsyncClient) -> None:
    """The web server refuses two; a proxy in front of it may not."""
    headers = [("host", "localhost"), ("host", "evil.test")]
    assert (await client.get("/health", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({"allowed_hosts": ("models.lan",)}, "models.lan:80", 200),
        ({"allowed_hosts": ("Models.LAN, other",)}, "models.lan", 200),
        ({"allowed_hosts": ("models.lan",)}, "evil.test", 403),
        ({"allowed_hosts": ("*",)}, "evil.test", 200),
        ({"host": "127.0.0.2"}, "127.0.0.2:8000", 200),
        ({"host": "::1"}, "[::1]:8000", 200),
        ({"host": "192.168.0.5", "insecure": True}, "anything", 200),
        ({"host": "192.168.0.5", "allowed_hosts": ("a",)}, "anything", 403),
        ({"host": "192.168.0.5", "allowed_hosts": ("a",)}, "192.168.0.5:8000", 200),
    ],
)
async def test_what_the_operator_allows(
    engine: FakeEngine, settings: dict[str, object], host: str, status: int
) -> None:
    config = ServerConfig(**settings)  # type: ignore[arg-type]
    async with serving(engine, config) as client:
        assert (await client.get("/health", headers={"host": host})).status_code == status


async def test_a_server_with_keys_is_not_rebound(engine: FakeEngine) -> None:
    """The page has no key, so its name does not matter; a proxy may forward any."""
    config = ServerConfig(api_keys=KeyRing.of(["k"]))
    async with serving(engine, config) as client:
        headers = {"host": "models.example", "x-api-key": "k"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("host", ["http://a", "a:80", "a/b", "fd00::1", "a b", "é"])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="is not a host name"):
        ServerConfig(allowed_hosts=(host,))


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("0", False),
        ("192.168.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("my-host.lan", False),
        ("localhost.evil.test", False),
    ],
)
def test_which_addresses_are_of_this_machine_only(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local
