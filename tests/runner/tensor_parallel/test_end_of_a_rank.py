"""The ranks end together: no error and no signal leaves some of them waiting.

Most followers here are small scripts, because a real one takes seconds to start.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from queue import Queue

import psutil
import pytest
import torch.distributed as dist

from qstar_infer import LLM, SamplingParams
from qstar_infer.checkpoint import save_model
from qstar_infer.errors import ConfigError, EngineDeadError
from qstar_infer.runner.tensor_parallel import follower_process
from qstar_infer.runner.tensor_parallel.follower_process import FollowerProcess
from qstar_infer.runner.tensor_parallel.ranks import Ranks

from ...parity.toy import make_toy
from ...server.live_server import wait_until


@pytest.fixture(autouse=True)
def _environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranks name the interface that they use; this takes it back."""
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def follow_with(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every follower run this code."""
    monkeypatch.setattr(follower_process, "COMMAND", (sys.executable, "-c", code))


def start() -> Ranks:
    return Ranks(2, device_type="cpu", num_threads=1)


def test_a_follower_that_cannot_start_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follow_with("raise SystemExit(7)", monkeypatch)
    with pytest.raises(EngineDeadError, match=r"rank 1 \(process \d+\) ended with exit stat"):
        start()
    assert "ended with exit status 7; the other ranks stop" in caplog.text
    assert not dist.is_initialized()


def test_a_follower_that_is_killed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_with("import os; os.kill(os.getpid(), 9)", monkeypatch)
    with pytest.raises(EngineDeadError, match="was ended by SIGKILL"):
        start()


@pytest.mark.slow
def test_a_follower_that_ends_before_it_joins_is_noticed() -> None:
    """Rank 0 waits for it in the process group, which alone would take 30 minutes.

    In a process of its own, because the thread that waits is left behind.
    """
    follower = (
        "import sys, time\n"
        "from qstar_infer.runner.tensor_parallel.messages import Joining, write_message\n"
        "write_message(sys.stdout.buffer, Joining())\n"
        "time.sleep(0.5)\n"
        "sys.exit(3)\n"
    )
    code = (
        "import sys\n"
        "from qstar_infer.runner.tensor_parallel import follower_process\n"
        "from qstar_infer.runner.tensor_parallel.ranks import Ranks\n"
        f"follower_process.COMMAND = (sys.executable, '-c', {follower!r})\n"
        "Ranks(2, device_type='cpu', num_threads=1)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "ended with exit status 3; the other ranks stop" in done.stderr


def test_a_process_has_one_group_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    with pytest.raises(ConfigError, match="is in a torch.distributed process group already"):
        start()


def test_a_follower_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_with("import time; time.sleep(600)", monkeypatch)
    monkeypatch.setattr(follower_process, "_END_TIMEOUT_S", 0.2)
    ended: list[str] = []
    follower = FollowerProcess(1, on_joining=lambda: None, on_end=ended.append)
    follower.close()
    follower.join()
    wait_until(lambda: ended == [f"rank 1 (process {follower.pid}) was ended by SIGKILL"])


def test_a_log_line_carries_its_rank(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a library prints does not disturb the messages."""
    code = (
        "import logging, sys\n"
        "from qstar_infer.runner.tensor_parallel.log_relay import private_stdout, send_log_to\n"
        "send_log_to(private_stdout(), level=logging.INFO)\n"
        "print('noise')\n"
        "logging.getLogger('some.place').warning('it rains in %s', 'Rome')\n"
    )
    follow_with(code, monkeypatch)
    ended = threading.Event()
    follower = FollowerProcess(1, on_joining=lambda: None, on_end=lambda _: ended.set())
    assert ended.wait(60)
    follower.close()
    assert ("some.place", logging.WARNING, "rank 1: it rains in Rome") in caplog.record_tuples


@pytest.fixture
def llm(tmp_path: Path) -> Iterator[LLM]:
    save_model(make_toy().model, tmp_path / "toy")
    llm = LLM(
        str(tmp_path / "toy"), dtype="float32", device="cpu", num_blocks=60, tensor_parallel_size=2
    )
    yield llm
    llm.close()


def follower_pid() -> int:
    (follower,) = [
        child
        for child in psutil.Process().children()
        if "qstar_infer.runner.tensor_parallel.follower" in child.cmdline()
    ]
    return int(follower.pid)


@pytest.mark.slow
def test_an_llm_ends_with_the_reason(llm: LLM) -> None:
    """From the middle of a pass, in which rank 0 waits for the follower."""
    pid = follower_pid()
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    llm.generate("abc", params)
    with pytest.raises(ConfigError, match="has a shard of it"):
        _ = llm.model
    threading.Timer(0.5, os.kill, [pid, signal.SIGKILL]).start()
    with pytest.raises(EngineDeadError, match=rf"rank 1 \(process {pid}\) was ended by SIGK"):
        deque((llm.generate("abc", params) for _ in count()), maxlen=0)
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
def test_an_error_in_a_pass_ends_all_ranks(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the follower would wait in a pass that rank 0 has left, and the next would mix."""
    pid = follower_pid()
    runner = llm._engine._runner
    monkeypatch.setattr(runner, "_runner", None)
    with pytest.raises(EngineDeadError, match="a pass failed on rank 0 .*the other ranks wait"):
        llm.generate("abc", SamplingParams(max_tokens=2))
    llm._engine.close()
    assert not psutil.pid_exists(pid)
    assert not dist.is_initialized()


@pytest.mark.slow
def test_a_wrong_model_is_told_as_it_is(tmp_path: Path) -> None:
    """Both ranks find the mistake; the caller gets it once, and not that a rank has ended."""
    save_model(make_toy().model, tmp_path / "toy")
    with pytest.raises(ConfigError, match="num_thought_tokens=0 must be an integer"):
        LLM(str(tmp_path / "toy"), device="cpu", tensor_parallel_size=2, num_thought_tokens=0)
    assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("print('A library says hello.', flush=True); input()", "what is no message"),
        ("import os; os.write(1, bytes([3] + [0] * 7) + b'abc'); input()", "what is no message"),
        ("import os; os.kill(os.getpid(), 35)", "was ended by signal 35"),
    ],
)
def test_a_follower_that_behaves_oddly_does_not_keep_rank_0_waiting(
    code: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these ended the thread that watches the follower, and nobody took note."""
    ends: Queue[str] = Queue()
    follow_with(code, monkeypatch)
    follower = FollowerProcess(1, on_joining=lambda: None, on_end=ends.put)
    assert how in ends.get(timeout=60)
    follower.close()
    follower.join()
