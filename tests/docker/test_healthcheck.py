"""The health check of the image: exit status 0 only if the server says that it is ready."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docker/healthcheck.py"


class Answers(HTTPServer):
    """A server with one answer."""

    content = b""

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        assert self.path == "/health"
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), _Handler) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def check(port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(PROGRAM)]
    env = {"QSTAR_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_server_that_is_ready(server: Answers) -> None:
    server.content = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    assert (check(server.port).returncode, check(server.port).stderr) == (0, "")


def test_a_server_that_is_not(server: Answers) -> None:
    server.content = b"HTTP/1.1 503 Busy\r\nContent-Length: 13\r\n\r\nmodel_loading"
    result = check(server.port)
    assert result.returncode == 1
    assert "503 model_loading" in result.stderr


def test_something_else_that_listens(server: Answers) -> None:
    server.content = b"220 mail.example ESMTP\r\n"
    result = check(server.port)
    assert result.returncode == 1
    assert "BadStatusLine" in result.stderr


def test_nobody_listens(server: Answers) -> None:
    port = server.port
    server.server_close()
    result = check(port)
    assert result.returncode == 1
    assert "ConnectionRefusedError" in result.stderr
    assert "Traceback" not in result.stderr
