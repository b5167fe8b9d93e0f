"""`qstar serve --ray` in a process of its own, with the toy model."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[3]
READY_S = 240
"""For a cluster to start on a machine that is busy with other work; 15 s on one that is not."""


@dataclass
class RayServer:
    """A front, and the cluster that it has started."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    children: list[psutil.Process] = field(default_factory=list)
    """Processes that it has had up to now."""

    def replica_pids(self) -> list[int]:
        """Of the processes that hold an engine."""
        with suppress(psutil.NoSuchProcess):
            self.children += psutil.Process(self.process.pid).children(recursive=True)
        found = set()
        for child in self.children:
            with suppress(psutil.Error):
                if re.match("ray::ServeReplica:qstar-.*:replicas", " ".join(child.cmdline())):
                    found.add(child.pid)
        return sorted(found)

    def replica_ids(self) -> set[str]:
        """The replicas that the front knows, by the labels of its metrics."""
        return set(self.gauge("qstar:num_requests_running"))

    def gauge(self, name: str) -> dict[str, float]:
        """A metric by replica."""
        text = httpx.get(self.url + "/metrics", timeout=60).text
        values = {}
        for line in text.splitlines():
            if line.startswith(name + "{"):
                labels, _, value = line.rpartition(" ")
                values[labels.partition('replica="')[2].partition('"')[0]] = float(value)
        return values

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextmanager
def served_on_ray(model: Path, log: Path, *options: str) -> Iterator[RayServer]:
    """A server that is ready, with as many replicas as `options` ask for at least."""
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", str(model)]
    command += ["--ray", "--port", "0", "--dtype", "float32", "--num-blocks", "512", *options]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        server = RayServer(process, "", log)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " at http://127.0.0.1:" in line, line + log.read_text()
            server.url = line.partition(" at ")[2].partition("/v1")[0]
            server.replica_pids()
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            for child in server.children:  # of a front that was killed
                with suppress(psutil.Error):
                    child.kill()


def wait_for(condition: Callable[[], object], *, timeout_s: float = READY_S) -> None:
    """Wait until a function gives something true; a question that cannot be asked counts as no."""
    end = time.monotonic() + timeout_s
    while True:
        with suppress(httpx.HTTPError):
            if condition():
                return
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)
