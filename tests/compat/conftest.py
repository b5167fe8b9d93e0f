"""A server with the default model, and the environment of other people's clients."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-compat" / "bin" / "python"
NODE_MODULES = Path(__file__).parent / "node_modules"
QUESTIONS = ROOT / ".venv-compat" / "questions"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    url: str
    """With `/v1`."""
    model: str

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder's tests where the environment is missing."""
    if PYTHON.exists():
        return
    skip = pytest.mark.skip(reason="the clients are not installed: `make compat` installs them")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """`qstar serve` with the default model in float32."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve"]
    command += ["--port", str(port), "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = ""
        while not line.startswith("Serving "):
            line = process.stdout.readline()
            assert line or process.poll() is None, "the server ended"
        match = re.match(r"Serving (\S+) at (\S+)", line)
        assert match is not None, line
        wait_until_healthy(f"http://127.0.0.1:{port}/health")
        yield Served(url=match[2], model=match[1])
        process.terminate()
        assert process.wait(60) == 0


def wait_until_healthy(url: str) -> None:
    """Fails after a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, "the server did not become healthy"
            time.sleep(0.2)


def run(*command: object, timeout_s: float = 300, **environment: str) -> str:
    """Run a client's program; its output on success.

    Fails with the end of its output otherwise.
    """
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout
