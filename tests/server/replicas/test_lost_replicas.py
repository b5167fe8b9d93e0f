"""Replicas that hang, die of a request or answer nonsense leave the others at work."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from qstar_server.http.errors import ApiError
from qstar_server.replicas import relay, replica_connection
from qstar_server.replicas.replica_connection import ReplicaConnection, ReplicaLostError

from qstar_infer.errors import EngineDeadError
from tests.server.fake_engine import MODEL
from tests.server.live_server import wait_until
from tests.server.raw_http import connect, read_to_end
from tests.server.replicas.fleet import Fleet, broken_replica, fleet, replica_at

PROMPT = {"model": MODEL, "prompt": "Say it"}


@pytest.fixture
def two() -> Iterator[Fleet]:
    with fleet("a", "b") as made:
        yield made


@contextmanager
def hanging_replica() -> Iterator[int]:
    """A port where connections are accepted, by the system, and nothing is read or answered."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def post(made: Fleet, **fields: Any) -> httpx.Response:
    return made.client.post("/v1/completions", json={**PROMPT, **fields}, timeout=30)


def port_of(made: Fleet) -> int:
    assert made.client.base_url.port is not None
    return made.client.base_url.port


# --- a request that kills -------------------------------------------------------------------------


def test_a_request_that_kills_replicas_does_not_reach_all_of_them(two: Fleet) -> None:
    """It is tried again once; a third replica would be gone too."""
    with ExitStack() as stack:
        ports = [stack.enter_context(broken_replica(b"")) for _ in range(3)]
        two.table.update(replica_at(port, f"x{port}") for port in ports)
        response = post(two)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_dead"
    assert "2 replicas ended" in response.json()["error"]["message"]
    assert response.headers["x-should-retry"] == "false"


def test_a_replica_that_cannot_be_reached_has_not_died_of_the_request(two: Fleet) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = [replica_at(closed.getsockname()[1], name) for name in ("x", "y", "z")]
        two.table.update([*nobody, *two.table.replicas])
        assert [post(two, prompt=f"{i}").status_code for i in range(6)] == [200] * 6


def test_a_full_replica_counts_for_more_than_a_dead_engine(two: Fleet) -> None:
    """The client is to try again, when the full one has room."""
    two.engines["a"].is_full = True
    two.engines["b"].die(EngineDeadError("gone"))
    for number in range(4):
        refused = post(two, prompt=f"{number}")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")


def test_a_full_replica_counts_for_more_than_one_that_shuts_down(two: Fleet) -> None:
    """Whichever of them is asked first."""
    two.engines["a"].is_full = True
    shutting_down = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"
    with broken_replica(shutting_down) as port:
        two.table.update([two.table.replicas[0], replica_at(port, "b")])
        answers = [post(two, prompt=f"{number}") for number in range(8)]
    assert {(each.status_code, each.headers["retry-after"]) for each in answers} == {(429, "7")}


def test_a_replica_that_was_lost_gets_requests_again(
    two: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, and not only when all others refuse."""
    (a, b) = two.table.replicas
    with broken_replica(b"") as port:
        two.table.update([replica_at(port, "a"), b])
        assert [post(two, prompt=f"{i}").status_code for i in range(8)] == [200] * 8
    two.table.update([a, b])
    assert [post(two, prompt=f"{i}").status_code for i in range(8)] == [200] * 8
    assert two.served() == {"a": 0, "b": 16}
    now = time.monotonic()
    monkeypatch.setattr(relay, "monotonic", lambda: now + relay._LOST_S + 1)
    assert [post(two, prompt=f"{i}").status_code for i in range(8)] == [200] * 8
    assert two.served()["a"] > 0


def test_a_machine_that_acknowledges_nothing_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TCP itself would send a part of a request again and again for a quarter of an hour."""
    watched = [
        (level, option, 200 if option == socket.TCP_USER_TIMEOUT else value)
        for level, option, value in replica_connection._KEEP_ALIVE
    ]
    monkeypatch.setattr(replica_connection, "_KEEP_ALIVE", watched)

    async def ask(port: int) -> None:
        connection = await ReplicaConnection.open(replica_at(port, "x"))
        try:
            async with asyncio.timeout(30):
                await connection.request("POST", b"/", [(b"host", b"x")], b"x" * 20_000_000)
        finally:
            connection.close()

    with hanging_replica() as port, pytest.raises(ReplicaLostError):
        asyncio.run(ask(port))


# --- what HTTP allows -----------------------------------------------------------------------------


def test_a_client_without_a_host_header_is_served(two: Fleet) -> None:
    """HTTP/1.0 has none, and a replica speaks HTTP/1.1."""
    with connect(port_of(two)) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("target", "headers"),
    [(b"/\xff", []), (b"/a b", []), (b"/", [(b"x-a", b"a\nb")]), (b"/", [(b"x(", b"a")])],
)
def test_what_cannot_be_sent_is_refused(target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Ray's proxy passes on more than the listener of `qstar serve` does."""

    async def ask(port: int) -> None:
        connection = await ReplicaConnection.open(replica_at(port, "x"))
        try:
            await connection.request("GET", target, headers, b"")
        finally:
            connection.close()

    with hanging_replica() as port, pytest.raises(ApiError) as caught:
        asyncio.run(ask(port))
    assert caught.value.status == 400


@pytest.mark.parametrize("path", ["/health", "/v1/completions"])
def test_a_websocket_is_closed(two: Fleet, path: str) -> None:
    """Ray's proxy passes them on."""
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": path, "raw_path": path.encode(), "headers": []}
    asyncio.run(two.front.app({**scope, "query_string": b""}, receive, send))
    assert sent == ["websocket.close"]


def test_a_stream_that_breaks_after_its_pings_ends_with_an_error(two: Fleet) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    with broken_replica(head + b"\r\n8\r\n: ping\n\n\r\n") as port:
        two.table.update([replica_at(port, "broken")])
        body = {"model": MODEL, "input": "Say it", "stream": True}
        content = two.client.post("/v1/responses", json=body).text
    ping, error, rest = content.split("\n\n")
    assert (ping, rest) == (": ping", "")
    assert error.startswith("event: error\ndata: ")
    told = json.loads(error.partition("data: ")[2])
    assert (told["type"], told["sequence_number"], told["code"]) == ("error", 0, "engine_dead")


# --- metrics --------------------------------------------------------------------------------------


def replicas_in_metrics(made: Fleet) -> set[str]:
    response = made.client.get("/metrics")
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    return {sample.labels["replica"] for family in families for sample in family.samples}


@pytest.mark.parametrize(
    "text", [b"no metrics {", b"\xff\xfe", b'a{b="c', b"# TYPE a counter\na_total x\n", b""]
)
def test_metrics_that_cannot_be_read_hide_no_others(two: Fleet, text: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(text)
    with broken_replica(head + text) as port:
        two.table.update([replica_at(port, "broken"), *two.table.replicas])
        assert replicas_in_metrics(two) == {"front", "a", "b"}


def test_a_replica_that_hangs_does_not_hold_up_metrics(
    two: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_METRICS_TIMEOUT_S", 0.5)
    with hanging_replica() as port:
        two.table.update([replica_at(port, "hangs"), *two.table.replicas])
        assert "hangs" not in replicas_in_metrics(two)
    two.table.update(two.table.replicas[1:])
    wait_until(lambda: replicas_in_metrics(two) == {"front", "a", "b"})
