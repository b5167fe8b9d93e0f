"""The server connects to nobody: a hook sees every socket that Python would connect."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.wire import chunks_of

ROOT = Path(__file__).parents[3]
SERVE = """
import sys

ATTEMPTS = sys.argv.pop()
FORBIDDEN = {"socket.connect", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto"}

def watch(event, arguments):
    is_lookup = event == "socket.getaddrinfo" and arguments[0] != "127.0.0.1"
    if event in FORBIDDEN or is_lookup:
        with open(ATTEMPTS, "a") as attempts:
            attempts.write(f"{event} {arguments}\\n")
        raise ConnectionRefusedError("no outgoing connections")

sys.addaudithook(watch)
if sys.argv[1:] == ["probe"]:
    import socket
    socket.create_connection(("localhost", 9))
from qstar_infer.cli.main import main
main()
"""
INVITATIONS = {
    "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_TRACES_EXPORTER": "otlp",
}
"""Settings by which a library would send something by itself."""


def start(attempts: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "TRANSFORMERS_", "DO_NOT_TRACK", "OTEL_"))
    }
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, *arguments, str(attempts)],
        cwd=ROOT,
        env=environment | INVITATIONS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(tmp_path / "attempts", "serve", "lab", "--port", "0")
    yield process
    process.kill()
    process.communicate()


def test_the_hook_sees_a_connection(tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    _, log = start(attempts, "probe").communicate(timeout=60)
    assert "no outgoing connections" in log
    assert attempts.read_text().startswith("socket.getaddrinfo ('localhost', 9")


@pytest.mark.slow
def test_a_server_connects_to_nobody(server: subprocess.Popen[str], tmp_path: Path) -> None:
    """Nor does it where the environment invites libraries to send their telemetry."""
    assert server.stdout is not None
    url = server.stdout.readline().split()[3].removesuffix("/v1")
    request = {"model": "qstar-lab", "prompt": "1 2 3", "max_tokens": 8, "show_thoughts": True}
    with httpx.Client(base_url=url, timeout=60) as client:
        for path in ("/health", "/health_generate", "/metrics", "/v1/models", "/openapi.json"):
            assert client.get(path).status_code == 200
        assert client.get("/nothing").status_code == 404
        assert client.post("/v1/completions", json=request | {"n": 0}).status_code == 400
        assert client.post("/v1/completions", json=request).status_code == 200
        assert chunks_of(client.post("/v1/completions", json=request | {"stream": True}).text)
    server.terminate()
    _, log = server.communicate(timeout=60)
    assert server.returncode == 0, log
    assert not (tmp_path / "attempts").exists(), (tmp_path / "attempts").read_text()
