"""Bodies that have crashed a server of this kind get a 4xx that says why; the next one is served.

They are in `nasty_bodies.py`.
"""

import contextlib
import gzip
import json
import socket
from typing import Any

import httpx
import pytest

from tests.server.live_server import LiveServer
from tests.server.nasty_bodies import ENDPOINTS, Nasty
from tests.server.wire import error_of

JSON = {"content-type": "application/json"}
MAX_ERROR_BYTES = 2000
TABLE = [
    pytest.param(path, nasty, id=f"{path} {nasty.name}")
    for path, endpoint in ENDPOINTS.items()
    for nasty in endpoint.nasty
]
PATHS = list(ENDPOINTS)


async def check_next(client: httpx.AsyncClient, path: str) -> None:
    """The next request, which is a normal one, succeeds."""
    response = await client.post(path, json=ENDPOINTS[path].body)
    assert response.status_code == 200, response.text


async def refused(
    client: httpx.AsyncClient, path: str, raw: bytes, *, headers: dict[str, str] = JSON
) -> dict[str, Any]:
    """The error of the answer, which must be a short 4xx."""
    response = await client.post(path, content=raw, headers=headers)
    assert 400 <= response.status_code < 500, response.text[:500]
    assert len(response.content) <= MAX_ERROR_BYTES
    assert response.headers.get("x-should-retry") != "true"
    if path != "/v1/messages":
        return error_of(response)
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"type", "message"}, "Anthropic's envelope"
    return {"param": None, "code": None} | error


@pytest.mark.parametrize(("path", "nasty"), TABLE)
async def test_a_nasty_value_is_refused(
    real_client: httpx.AsyncClient, path: str, nasty: Nasty
) -> None:
    raw = json.dumps(ENDPOINTS[path].body | nasty.fields).encode()
    error = await refused(real_client, path, raw)
    assert error["type"] == "invalid_request_error"
    if "NaN" in error["message"]:  # the parser knows no fields
        assert error["code"] in ("invalid_json", None)
        return
    assert nasty.says in error["message"]
    if path != "/v1/messages":
        assert str(error["param"]).partition(".")[0] in nasty.fields
    await check_next(real_client, path)


MALFORMED = {
    "nothing": (b"", "not valid JSON"),
    "half": (b'{"model": ', "not valid JSON"),
    "no object": (b"[1]", "must be a JSON object"),
    "a text": (b'"text"', "must be a JSON object"),
    "NUL bytes": (b"\0" * 1000, "not valid JSON"),
    "no UTF-8": (b'{"model": "\xff"}', "not valid JSON"),
    "UTF-16": ('{"model": "m"}'.encode("utf-16"), "not valid JSON"),
    "a lone surrogate": (b'{"model": "\\ud800"}', "not valid JSON"),
    "NaN": (b'{"model": NaN}', "not valid JSON"),
    "minus Infinity": (b'{"model": -Infinity}', "not valid JSON"),
    "a number of a million digits": (b'{"model": %b}' % (b"9" * 1_000_000), "not valid JSON"),
    "deep lists": (b"[" * 1_000_000, "recursion limit"),
    "deep objects": (b'{"a":' * 300_000, "recursion limit"),
    "a key twice": (b'{"model": "a", "model": "b"}', "duplicate key"),
    "a long key twice": (b'{"%b": 1, "%b": 2}' % ((b"k" * 500_000,) * 2), "duplicate key"),
    "too large": (b" " * 2_000_001, "larger than"),
    "gzip without a header": (gzip.compress(b"{}"), "not valid JSON"),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_body_is_refused(
    real_client: httpx.AsyncClient, path: str, name: str
) -> None:
    raw, says = MALFORMED[name]
    assert says in (await refused(real_client, path, raw))["message"]
    await check_next(real_client, path)


HEADERS = {
    "another type": {"content-type": "text/plain"},
    "a form": {"content-type": "application/x-www-form-urlencoded"},
    "files": {"content-type": "multipart/form-data; boundary=x"},
    "no type": {},
    "a bomb": JSON | {"content-encoding": "gzip"},
    "an unknown encoding": JSON | {"content-encoding": "x" * 5000},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", HEADERS)
async def test_another_kind_of_body_is_refused(
    real_client: httpx.AsyncClient, path: str, name: str
) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    error = await refused(real_client, path, bomb, headers=HEADERS[name])
    assert error["code"] == "unsupported_media_type" or path == "/v1/messages"
    await check_next(real_client, path)


@pytest.mark.parametrize("path", PATHS)
async def test_thousands_of_unknown_fields_change_nothing(
    real_client: httpx.AsyncClient, path: str
) -> None:
    """They are accepted, because clients send fields that other servers know."""
    unknown = {f"unknown_{number}": [number] for number in range(50_000)}
    response = await real_client.post(path, json=ENDPOINTS[path].body | unknown)
    assert response.status_code == 200


@pytest.mark.parametrize("num_headers", [1, 10_000])
def test_a_megabyte_of_headers_is_refused(live: LiveServer, num_headers: int) -> None:
    """One GET like this exhausted the memory of a server."""
    value = "a" * (1_000_000 // num_headers)
    lines = "".join(f"X-{number}: {value}\r\n" for number in range(num_headers))
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", live.port), timeout=30) as connection,
        contextlib.suppress(ConnectionError),  # it hangs up while we send, or before we read
    ):
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        answer = connection.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert httpx.get(f"{live.url}/health").status_code == 200
