"""A front and its replicas, each behind a real socket of this process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
from qstar_server.process.lifecycle import DrainingServer
from qstar_server.process.listener import bind_sockets
from qstar_server.replicas.front import Front
from qstar_server.replicas.replica_server import ReplicaServer
from qstar_server.replicas.replica_table import Replica, ReplicaTable
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import wait_until

SECRET = "between-front-and-replicas"


def replica_at(port: int, replica_id: str) -> Replica:
    return Replica(replica_id=replica_id, host="127.0.0.1", port=port, name="m", description="d.")


@dataclass
class Fleet:
    """A front with replicas `a`, `b`, ... that have scripted engines.

    Attributes:
        client: of the front.
        engines: by the id of their replica.
    """

    client: httpx.Client
    table: ReplicaTable
    front: Front
    server: DrainingServer
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    replicas: dict[str, ReplicaServer] = field(default_factory=dict)

    def served(self) -> dict[str, int]:
        """How many generating requests each engine has had."""
        return {name: len(engine.submitted) for name, engine in self.engines.items()}


def start_replica(engine: FakeEngine, config: ServerConfig) -> ReplicaServer:
    server = ReplicaServer(lambda: engine, config, host="127.0.0.1", secret=SECRET)
    server.start()
    return server


@contextmanager
def fleet(*names: str, config: ServerConfig | None = None) -> Iterator[Fleet]:
    """A front with replicas of these names, at most one letter each."""
    config = config or ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1)
    table = ReplicaTable()
    front = Front(table, config, secret=SECRET)
    server = DrainingServer(front.app, front, config, announce=lambda _: None)
    sockets = bind_sockets("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    client = httpx.Client(base_url=url, timeout=30)
    made = Fleet(client, table, front, server)
    with ExitStack() as stack:
        stack.enter_context(client)
        for name in names:
            engine = FakeEngine()
            replica = start_replica(engine, config)
            stack.callback(replica.stop)
            made.engines[name], made.replicas[name] = engine, replica
        table.update(replica_at(made.replicas[name].port, name) for name in names)
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(setattr, server, "should_exit", True)
        wait_until(lambda: server.started)
        yield made


@contextmanager
def broken_replica(answer: bytes) -> Iterator[int]:
    """A port where each request gets these bytes, and then the end of the connection.

    So ends a connection to a process that is killed.
    """
    loop = asyncio.new_event_loop()

    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(answer_and_close, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
