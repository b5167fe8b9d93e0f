"""The liveness probe: a server that answers anything is alive, one that is silent is not."""

import http.client
import inspect
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from qstar_server.settings.config import ServerConfig

from tests.kubernetes.chart import container_of
from tests.server.fake_engine import FakeEngine
from tests.server.live_server import start_server, wait_until
from tests.server.raw_http import connect, request_bytes


def probe(port: int, *, timeout_s: int = 10) -> bool:
    """Run the command of the probe against another port; whether it succeeds."""
    python, *options, program = container_of()["livenessProbe"]["exec"]["command"]
    assert python == "python3"
    ours, count = re.subn("8000, timeout=10", f"{port}, timeout={timeout_s}", program)
    assert count == 1
    done = subprocess.run(
        [sys.executable, *options, ours], capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


def test_a_server_that_refuses_requests_is_alive(engine: FakeEngine) -> None:
    """A probe that wants a 200 would restart a server because it has much to do."""
    server = start_server(engine, ServerConfig(max_connections=1, drain_grace_s=0))
    assert probe(server.port)
    engine.is_hung = True
    with connect(server.port) as busy:
        busy.sendall(request_bytes(stream=True))
        wait_until(lambda: engine.num_open == 1)
        assert httpx.get(f"{server.url}/health").status_code == 503
        assert probe(server.port)
        engine.is_hung = False
    server.stop()


def test_a_server_that_does_not_answer_is_not_alive() -> None:
    """The system accepts connections for a process that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not probe(port, timeout_s=1)
    assert not probe(port)


def test_the_probe_waits_for_its_program() -> None:
    """Kubernetes would count a slow answer as none."""
    settings = container_of()["livenessProbe"]
    waits = re.findall(r"timeout=(\d+)", settings["exec"]["command"][-1])
    assert [int(each) < settings["timeoutSeconds"] for each in waits] == [True]


def test_the_probe_needs_only_the_standard_library() -> None:
    program = container_of()["livenessProbe"]["exec"]["command"][-1]
    assert re.findall(r"^import (\S+)$", program, re.M) == ["http.client"]
    assert Path(inspect.getfile(http.client)).is_relative_to(sys.base_prefix)
