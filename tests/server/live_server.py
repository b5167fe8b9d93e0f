"""The application behind a real socket, run by a thread."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from qstar_server.app import create_app
from qstar_server.process.lifecycle import DrainingServer
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine


@dataclass
class LiveServer:
    """A server on a free port of this machine, run by a thread."""

    url: str
    port: int
    server: DrainingServer
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Fails if the condition does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def start_server(engine: Engine, config: ServerConfig) -> LiveServer:
    live = start_loading(lambda: engine, config)
    wait_until(lambda: httpx.get(f"{live.url}/health").status_code == 200)
    return live


def start_loading(load_engine: Callable[[], Engine], config: ServerConfig) -> LiveServer:
    """A server that accepts connections, and may still load its engine."""
    app = create_app(load_engine, config)
    server = DrainingServer(app, app.state.engine_slot, config, announce=lambda _: None)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    return LiveServer(f"http://127.0.0.1:{port}", port, server, thread)
