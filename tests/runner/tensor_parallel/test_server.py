"""`qstar serve --tensor-parallel-size 2` from start to stop, with whatever may end it."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from qstar_infer.checkpoint import save_model

from ...parity.toy import make_toy
from ...server.live_server import wait_until
from ...server.served_process import url_of

pytestmark = pytest.mark.slow  # two processes that import torch for each test

REQUEST: dict[str, Any] = {"model": "toy", "prompt": "abc", "temperature": 0}
STREAMED = REQUEST | {"max_tokens": 200, "ignore_eos": True, "stream": True}


class Server:
    """A server with two ranks."""

    def __init__(self, model: Path, log: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", str(model), "--port", "0"]
        command += ["--device", "cpu", "--dtype", "float32", "--num-blocks", "200"]
        command += ["--served-model-name", "toy", "--tensor-parallel-size", "2", *arguments]
        self._log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        try:
            self.url = url_of(self.process)
        except BaseException:
            self.process.kill()
            raise
        (self.follower,) = psutil.Process(self.process.pid).children()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def under_load(self) -> list[threading.Thread]:
        """Keep three streams open; their texts are in `texts` when the threads have ended."""
        self.texts: list[str] = []
        threads = [threading.Thread(target=self._stream) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: self._num_running() == 3)
        return threads

    def _stream(self) -> None:
        text = ""
        try:
            request = httpx.stream("POST", f"{self.url}/completions", json=STREAMED, timeout=120)
            with request as answer:
                for part in answer.iter_text():
                    text += part
        except httpx.TransportError:
            pass  # the server was killed
        self.texts.append(text)

    def _num_running(self) -> float:
        text = httpx.get(self.url.removesuffix("/v1") + "/metrics").text
        found = re.search(r"^qstar:num_requests_running\S* (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0

    def wait(self) -> int:
        """The exit status, once no process is left."""
        status = self.process.wait(60)
        wait_until(lambda: not self.follower.is_running())
        return status


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("toy") / "toy"
    save_model(make_toy().model, directory)
    return directory


@pytest.fixture
def server(toy: Path, tmp_path: Path) -> Iterator[Server]:
    started = Server(toy, tmp_path / "log", "--watchdog-timeout-s", "3")
    yield started
    started.process.kill()
    started.process.communicate()
    if started.follower.is_running():
        started.follower.kill()


def error_codes(streams: list[str]) -> set[str]:
    """The code of the error that ends each stream."""
    ends = [text.strip().split("\n\n")[-2:] for text in streams]
    assert all(done == "data: [DONE]" for _, done in ends), ends
    return {json.loads(error.removeprefix("data: "))["error"]["code"] for error, _ in ends}


def test_it_thinks_and_stops(server: Server) -> None:
    server.follower.send_signal(signal.SIGINT)  # as Ctrl-C sends it to all; rank 0 decides
    request = REQUEST | {"max_tokens": 6, "show_thoughts": True}
    answer = httpx.post(f"{server.url}/completions", json=request, timeout=60).json()
    thoughts = answer["choices"][0]["thoughts"]
    assert len(thoughts) == answer["usage"]["completion_tokens"]
    assert all(thought["thought"] for thought in thoughts)
    listening = {
        each.laddr.ip
        for process in (psutil.Process(server.process.pid), server.follower)
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    server.process.terminate()
    assert server.wait() == 0
    assert "rank 1 (process" not in server.log, "an end that was asked for is no failure"


def test_the_server_ends_with_a_follower(server: Server) -> None:
    threads = server.under_load()
    server.follower.kill()
    assert server.wait() == 1
    for thread in threads:
        thread.join()
    assert error_codes(server.texts) == {"engine_dead"}
    assert f"rank 1 (process {server.follower.pid}) was ended by SIGKILL" in server.log


def test_the_server_ends_with_a_follower_while_nothing_is_computed(server: Server) -> None:
    server.follower.kill()
    assert server.wait() == 1
    assert "was ended by SIGKILL" in server.log


def test_a_follower_that_hangs_ends_the_server(server: Server) -> None:
    """Rank 0 waits for it inside a pass; the watchdog ends that, and the follower as well."""
    threads = server.under_load()
    server.follower.suspend()
    assert server.wait() == 1
    for thread in threads:
        thread.join()
    assert error_codes(server.texts) == {"engine_dead"}
    assert "one step has taken more than 3 seconds" in server.log


def test_no_follower_outlives_rank_0(server: Server) -> None:
    threads = server.under_load()
    server.process.kill()
    assert server.wait() == -signal.SIGKILL
    for thread in threads:
        thread.join()
