"""The front as a deployment of Ray Serve, behind Ray's own proxy."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.load.streams import make_requests
from tests.server.fake_engine import MODEL
from tests.server.ray.outcomes import expected_answers, send_all
from tests.server.ray.served_on_ray import ROOT
from tests.server.real_engine import save_toy

pytest.importorskip("ray", reason="replicas need the extra `ray`")
pytestmark = pytest.mark.slow

KEY = "a-key-of-a-test"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Of an application with two replicas."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    settings = {
        "QSTAR_MODEL": str(save_toy(tmp_path / "toy")),
        "QSTAR_SERVED_MODEL_NAME": MODEL,
        "QSTAR_DTYPE": "float32",
        "QSTAR_NUM_BLOCKS": "512",
        "QSTAR_RAY_MIN_REPLICAS": "2",
        "QSTAR_API_KEY": KEY,
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.ray.run_with_serve", str(port)],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            lines = iter(process.stdout.readline, "")
            assert "ready\n" in lines, (tmp_path / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()
            try:
                process.wait(120)
            finally:
                process.kill()
                process.stdout.close()


def test_answers_are_those_of_one_server(url: str, tmp_path: Path) -> None:
    streamed = [{**body, "model": MODEL} for body in make_requests(24, seed=7)]
    expected = expected_answers(tmp_path / "one", streamed)
    bodies = [{**body, "stream": number % 2 == 0} for number, body in enumerate(streamed)]
    assert httpx.get(url + "/health").status_code == 200
    assert httpx.get(url + "/v1/models").status_code == 401
    keys = {"Authorization": f"Bearer {KEY}"}
    outcomes = asyncio.run(send_all(url, bodies, expected, num_open=8, headers=keys))
    assert outcomes.counts == {"complete": len(bodies)}, outcomes.wrong[:3]
    wrong = httpx.post(url + "/v1/messages", json={"model": MODEL}, headers=keys)
    assert wrong.status_code == 400
    assert wrong.json()["type"] == "error"
