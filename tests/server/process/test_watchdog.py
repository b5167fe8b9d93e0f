"""A hung step or a dead engine ends the process, after its requests got an error."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from qstar_server.process.engine_slot import EngineSlot
from qstar_server.process.watchdog import Watchdog
from qstar_server.settings.config import ServerConfig

from qstar_infer.errors import EngineDeadError
from qstar_infer.outputs import EngineStats
from tests.server.fake_engine import FakeEngine
from tests.server.live_server import wait_until
from tests.server.planted_engine import TRIGGER
from tests.server.served_process import serve, url_of
from tests.server.wire import body, error_of

Ages = Callable[[], float | None]
Start = Callable[[str], subprocess.Popen[str]]


class AgedEngine(FakeEngine):
    """An engine whose steps are as old as a test says."""

    def __init__(self, age_s: Ages) -> None:
        super().__init__()
        self._age_s = age_s
        self.abandoned: list[EngineDeadError] = []

    def stats(self) -> EngineStats:
        return EngineStats(step_age_s=self._age_s())

    def abandon(self, error: EngineDeadError) -> None:
        self.abandoned.append(error)
        super().abandon(error)


def watched(age_s: Ages, *, seconds: float, timeout_s: float = 0.1) -> tuple[AgedEngine, list[int]]:
    """Watch an engine for so long.

    Returns:
        The engine, and the statuses that the process would have ended with.
    """
    engine = AgedEngine(age_s)
    slot = EngineSlot(lambda: engine)
    slot.start_loading()
    wait_until(lambda: slot.engine is not None)
    statuses: list[int] = []
    watchdog = Watchdog(slot, timeout_s=timeout_s, exit_grace_s=0.05, end_process=statuses.append)
    with watchdog:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not statuses:
            time.sleep(0.01)
    engine.close()
    return engine, statuses


def test_a_step_that_does_not_end_is_abandoned_and_then_the_process() -> None:
    started = time.monotonic()
    engine, statuses = watched(lambda: time.monotonic() - started, seconds=20)
    assert str(engine.abandoned[0]) == "one step has taken more than 0.1 seconds"
    assert (len(engine.abandoned), statuses) == (1, [1])


def test_many_short_steps_are_fine() -> None:
    engine, statuses = watched(lambda: time.monotonic() % 0.02, seconds=0.5)
    assert (engine.abandoned, statuses) == ([], [])


def test_an_idle_engine_is_fine() -> None:
    engine, statuses = watched(lambda: None, seconds=0.5)
    assert (engine.abandoned, statuses) == ([], [])


def test_a_machine_that_was_stopped_for_an_hour_is_no_hang() -> None:
    """A suspended container would be ended as it wakes up."""
    ages = iter([0.01, 3600.0, *(0.01 + number for number in range(1000) if number < 1)])
    engine, statuses = watched(lambda: next(ages, None), seconds=0.5)
    assert (engine.abandoned, statuses) == ([], [])


def test_without_a_limit_steps_may_take_forever() -> None:
    started = time.monotonic() - 1e6
    engine, statuses = watched(lambda: time.monotonic() - started, seconds=1.5, timeout_s=0)
    assert (engine.abandoned, statuses) == ([], [])


def test_the_default_is_five_minutes() -> None:
    assert ServerConfig().watchdog_timeout_s == 300


def post_in_thread(url: str, statuses: list[httpx.Response]) -> threading.Thread:
    def post() -> None:
        request = body(prompt=[TRIGGER], max_tokens=4)
        statuses.append(httpx.post(f"{url}/completions", json=request, timeout=60))

    thread = threading.Thread(target=post)
    thread.start()
    return thread


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers; a failed test leaves none."""
    processes: list[subprocess.Popen[str]] = []

    def start(kind: str) -> subprocess.Popen[str]:
        processes.append(serve(kind, "--port", "0"))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("hang", "the engine is given up: one step has taken more than 2 seconds; it is in wait"),
        ("exit", "SystemExit: a library ends the thread"),
        ("loop", "ValueError: planted in the loop"),
    ],
)
def test_a_lost_engine_answers_its_requests_and_ends_the_process_with_1(
    start: Start, kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that hung left a server that answered nothing, and /health said that it was ready."""
    monkeypatch.setenv("QSTAR_WATCHDOG_TIMEOUT_S", "2")
    process = start(kind)
    url = url_of(process)
    wholes: list[httpx.Response] = []
    thread = post_in_thread(url, wholes)
    request = body(prompt=[TRIGGER], max_tokens=4, stream=True)
    streamed = httpx.post(f"{url}/completions", json=request, timeout=60)
    thread.join()
    _, log = process.communicate(timeout=30)
    assert (process.returncode, reason in log) == (1, True), log
    assert log.splitlines()[-1].startswith("error: the engine crashed, so the server exited")
    assert error_of(wholes[0])["code"] == "engine_dead"
    if streamed.status_code == 200:  # or it came after the end of the engine
        frames = [line for line in streamed.text.splitlines() if line]
        assert "engine_dead" in frames[-2]
        assert frames[-1] == "data: [DONE]"
    else:
        assert error_of(streamed)["code"] == "engine_dead"


@pytest.mark.slow
def test_an_exception_in_a_step_ends_its_requests_alone(start: Start) -> None:
    process = start("step")
    url = f"{url_of(process)}/completions"
    answer = httpx.post(url, json=body(prompt=[TRIGGER], max_tokens=4), timeout=60)
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    again = httpx.post(url, json=body(prompt=[65], max_tokens=4), timeout=60)
    assert again.status_code == 200
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert log.count("an error ended 1 requests; the others continue: cmpl-") == 1


@pytest.mark.slow
def test_sigterm_does_not_wait_for_a_step_that_hangs(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing the engine waited for its step, so the process stayed until it was killed."""
    monkeypatch.setenv("QSTAR_WATCHDOG_TIMEOUT_S", "0")
    monkeypatch.setenv("QSTAR_DRAIN_GRACE_S", "0.5")
    process = start("hang")
    url = f"{url_of(process)}/completions"
    request = body(prompt=[TRIGGER], max_tokens=4, stream=True)
    with httpx.stream("POST", url, json=request, timeout=60) as response:
        process.terminate()
        frames = [line for line in response.iter_lines() if line.startswith("data: ")]
    assert "shutting_down" in frames[-2]
    assert frames[-1] == "data: [DONE]"
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
