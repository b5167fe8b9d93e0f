"""Measures what HTTP costs a server's process, with an engine that only recites.

The engine of the tests gives each request tokens that it knows in advance, so the time of the
process is that of connections, bodies, checks, events and the access log.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.fleet.closed_loop import Answered, send_for
from benchmarks.fleet.cost import FrontTime

_ROOT = Path(__file__).parents[2]
_MODEL = "fake/thinker"
_PORT = re.compile(r" at http://127\.0\.0\.1:(\d+)/v1 ")
_CONNECTIONS = 64
_MANY_TOKENS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLoad:
    """One load, and what the server's process needed for it."""

    tokens: int
    stream: bool
    requests_per_s: float
    cpu_ms_per_request: float
    cores: float
    """CPU seconds of the process per second; close to 1: it cannot do more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFront:
    """The prices that follow from the loads."""

    time: FrontTime
    loads: list[FrontLoad]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_front(*, seconds: float) -> MeasuredFront:
    """Send whole answers and streams, of one token and of many, each for this time."""
    with _server() as (process, port):
        send_for(port, _body(4, stream=True), connections=8, seconds=1.0)
        found = [
            _measure(process, port, tokens=tokens, stream=stream, seconds=seconds)
            for stream in (False, True)
            for tokens in (1, _MANY_TOKENS)
        ]
    loads = [load for load, _ in found]
    short, long = loads[2], loads[3]
    events = [answered.num_events / answered.num_requests for _, answered in found[2:]]
    delta_ms = (long.cpu_ms_per_request - short.cpu_ms_per_request) / (events[1] - events[0])
    request_ms = short.cpu_ms_per_request - events[0] * delta_ms
    return MeasuredFront(
        time=FrontTime(request_s=request_ms / 1000, delta_s=delta_ms / 1000), loads=loads
    )


def _measure(
    process: psutil.Process, port: int, *, tokens: int, stream: bool, seconds: float
) -> tuple[FrontLoad, Answered]:
    before_s = _cpu_s(process)
    answered = send_for(
        port, _body(tokens, stream=stream), connections=_CONNECTIONS, seconds=seconds
    )
    cpu_s = _cpu_s(process) - before_s
    load = FrontLoad(
        tokens=tokens,
        stream=stream,
        requests_per_s=answered.num_requests / answered.seconds,
        cpu_ms_per_request=1000 * cpu_s / answered.num_requests,
        cores=cpu_s / answered.seconds,
    )
    return load, answered


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _body(tokens: int, *, stream: bool) -> dict[str, Any]:
    return {
        "model": _MODEL,
        "prompt": "The quick brown fox jumps over the lazy dog. " * 4,
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": stream,
    }


@contextmanager
def _server() -> Iterator[tuple[psutil.Process, int]]:
    """`qstar serve` with the reciting engine, and its port."""
    command = [sys.executable, "-m", "tests.server.served_process", "serve", "fast"]
    process = subprocess.Popen(
        [*command, "--port", "0"],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = _PORT.search(line := process.stdout.readline())
        if found is None:
            raise RuntimeError(f"the server did not start, but said {line!r}")
        yield psutil.Process(process.pid), int(found[1])
    finally:
        process.terminate()
        process.wait(30)
