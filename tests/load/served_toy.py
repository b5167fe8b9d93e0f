"""`qstar serve` with the toy model, in a process of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

MODEL = "toy"


@dataclass(frozen=True, slots=True)
class ServedToy:
    """A running server."""

    url: str
    process: psutil.Process

    def rss(self) -> int:
        """Resident memory, bytes."""
        return int(self.process.memory_info().rss)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = httpx.get(f"{self.url}/metrics").text
        values = re.findall(rf"^qstar:{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert values, f"there is no metric {name}"
        return sum(map(float, values))

    def wait_until_idle(self, timeout_s: float = 30) -> None:
        """Fails if a request is still running or waiting after this time."""
        deadline = time.monotonic() + timeout_s
        while self.metric("num_requests_running") + self.metric("num_requests_waiting"):
            assert time.monotonic() < deadline, "requests are left"
            time.sleep(0.1)


@contextmanager
def served_toy(directory: Path, *options: str) -> Iterator[ServedToy]:
    """Serve the model in a directory until the block ends; then it must stop by itself."""
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", str(directory)]
    command += ["--port", "0", "--dtype", "float32", "--served-model-name", MODEL, *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = ""
        while not line.startswith("Serving "):
            line = process.stdout.readline()
            assert line or process.poll() is None, "the server ended"
        match = re.match(r"Serving \S+ at (\S+)/v1", line)
        assert match is not None, line
        try:
            yield ServedToy(url=match[1], process=psutil.Process(process.pid))
        finally:
            process.terminate()
            status = process.wait(60)
        assert status == 0
