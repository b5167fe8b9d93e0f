"""The built site, servers for the requests in the pages, and a folder for their commands."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from tests.device import DEVICE
from tests.docs.blocks import ROOT
from tests.server.live_server import start_server
from tests.server.real_engine import save_toy

DEFAULT_MODEL = "SmolLM2-135M-Instruct"
BUILD = """
import socket, sys
def refuse(*_): raise OSError("the documentation is built without the network")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli(["build", "--strict", "--site-dir", sys.argv[1]])
"""
"""`make docs` in a process that cannot reach anything."""
CONFIG = ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1)


def _serve(args: EngineArgs) -> Iterator[str]:
    engine: Engine = create_async_engine(args)
    server = start_server(engine, CONFIG)
    yield server.url
    server.stop()
    engine.close()


@pytest.fixture(scope="module")
def lab_url() -> Iterator[str]:
    """A server with the lab model, as `qstar serve lab` starts it."""
    yield from _serve(EngineArgs.of(model="lab", device=DEVICE, num_blocks=512))


@pytest.fixture(scope="module")
def toy_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a toy under the name of the default model, which takes any text."""
    model = save_toy(tmp_path_factory.mktemp("toy") / "checkpoint")
    yield from _serve(
        EngineArgs.of(
            model=str(model), device=DEVICE, num_blocks=512, served_model_name=DEFAULT_MODEL
        )
    )


@pytest.fixture
def server_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The address of the server that a page speaks of."""

    def server_of(page: str) -> str:
        speaks_of_lab = "serve lab" in (ROOT / page).read_text(encoding="utf-8")
        address: str = request.getfixturevalue("lab_url" if speaks_of_lab else "toy_url")
        return address

    return server_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new folder that looks like a checkout, so that what a command writes is thrown away."""
    for path in ROOT.iterdir():
        if path.name not in ("runs", "site", ".git"):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


class Built(NamedTuple):
    """The folder of a built site, and what mkdocs said."""

    site: Path
    said: str


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built once; it takes a quarter of a minute."""
    site = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return Built(site, done.stderr)


@pytest.fixture(scope="session")
def site(built: Built) -> Path:
    return built.site
