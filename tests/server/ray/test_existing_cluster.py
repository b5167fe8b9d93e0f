"""`qstar serve --ray --ray-address`: a cluster that others have started, and that stays."""

import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.server.fake_engine import MODEL
from tests.server.ray.served_on_ray import READY_S, RayServer, served_on_ray, wait_for
from tests.server.real_engine import save_toy

pytest.importorskip("ray", reason="replicas need the extra `ray`")
pytestmark = pytest.mark.slow


class Cluster:
    """A cluster of one machine, in processes that end with it."""

    def __init__(self, head: "subprocess.Popen[bytes]", address: str) -> None:
        self.address = address
        self._head = psutil.Process(head.pid)

    def replica_pids(self) -> set[int]:
        """Of the processes that hold an engine."""
        found = set()
        for child in self._head.children(recursive=True):
            with suppress(psutil.Error):
                if "ray::ServeReplica:" in " ".join(child.cmdline()):
                    found.add(child.pid)
        return found


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # the loopback interface only
    port = free_port()
    ray = str(Path(sys.executable).with_name("ray"))
    command = [ray, "start", "--head", f"--port={port}", "--block", "--num-cpus=2"]
    command += ["--disable-usage-stats", "--include-dashboard=false"]
    command += ["--object-store-memory=80000000", "--node-ip-address=127.0.0.1"]
    with (tmp_path / "ray.log").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log)
    family: list[psutil.Process] = []
    try:
        wait_for(lambda: "Local node IP" in (tmp_path / "ray.log").read_text())
        yield Cluster(head, f"127.0.0.1:{port}")
    finally:
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        with suppress(subprocess.TimeoutExpired):
            head.wait(30)
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        head.kill()
        head.wait()
        forget(f"127.0.0.1:{port}")


def forget(address: str) -> None:
    """Remove Ray's note of the cluster of this machine: later programs would wait for it."""
    note = Path(tempfile.gettempdir(), "ray", "ray_current_cluster")
    if note.is_file() and note.read_text() == address:
        note.unlink()


def complete(server: RayServer) -> int:
    body = {"model": MODEL, "prompt": "Go", "max_tokens": 4}
    return httpx.post(server.url + "/v1/completions", json=body, timeout=READY_S).status_code


def test_a_front_that_was_killed_replaces_its_replicas_when_it_starts_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    model = save_toy(tmp_path / "toy")
    port = free_port()
    options = ["--ray-address", cluster.address, "--port", str(port), "--threads", "1"]
    options += ["--served-model-name", MODEL]
    with served_on_ray(model, tmp_path / "first.log", *options) as first:
        assert complete(first) == 200
        left = cluster.replica_pids()
        assert len(left) == 1
        first.process.kill()
        first.process.wait()
    with served_on_ray(model, tmp_path / "second.log", *options) as second:
        assert complete(second) == 200
        assert "ending the replicas of a front that was killed" in second.log.read_text()
        wait_for(lambda: len(cluster.replica_pids()) == 1)
        assert not cluster.replica_pids() & left
        assert second.stop() == 0
    wait_for(lambda: not cluster.replica_pids())
