"""A real server process with a real engine."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..default_cache import default_cache
from ..device import DEVICE

GOLDEN_A = Path(__file__).parents[1] / "golden" / "A" / "checkpoint"


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[str]:
    """`qstar serve` on a free port; yields its base URL once it says that it is ready.

    `variables` are set in its environment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", "--port", str(port)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | variables
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert f"http://127.0.0.1:{port}/v1" in ready, f"not a start-up line: {ready!r}"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0, "a server that is asked to stop ends well"


@pytest.fixture(scope="module")
def golden_server() -> Iterator[str]:
    """Golden checkpoint A with room for two sequences and a queue of one."""
    limits = ("--max-num-seqs", "2", "--max-queue", "1")
    with serving(str(GOLDEN_A), "--dtype", "float32", "--device", DEVICE, *limits) as url:
        yield url


@pytest.fixture(scope="module")
def default_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `make serve` starts."""
    with serving(QSTAR_CACHE=str(default_cache(tmp_path_factory))) as url:
        yield url
