"""Measures two Ray replicas with a thread each beside one server with two, on the lab model.

    python -m benchmarks.ray_replicas --json RESULTS.json      # on an idle machine, about 5 minutes

Each round starts one, loads it, and stops it; then the other. So neither is slowed down by the
other, and Ray's own processes count for the replicas. The load is closed: so many streams are open
at any time, each with a prompt of its own.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
import torch

from qstar_infer.bench.hardware import describe_device, versions

NUM_STREAMS = 32
MAX_TOKENS = 48
PROMPT_NUMBERS = 24
WARM_UP_S = 4.0
MEASURED_S = 12.0
WAYS = {
    "one server": ("--threads", "2"),
    "two replicas": ("--threads", "1", "--ray", "--ray-min-replicas", "2"),
}
_READY = re.compile(r" at http://127\.0\.0\.1:(\d+)/v1 ")
_COUNT = re.compile(rb'"completion_tokens":(\d+)')


@contextmanager
def started(*options: str) -> Iterator[tuple[int, psutil.Process]]:
    """`qstar serve` with the lab model; gives its port and its process."""
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", "lab", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--no-access-log", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = _READY.search(process.stdout.readline())
        if found is None:
            raise RuntimeError(f"the server did not start: {' '.join(command + list(options))}")
        yield int(found[1]), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def request_bytes(numbers: random.Random) -> bytes:
    """A streamed completion of a prompt that no other has."""
    prompt = " ".join(str(numbers.randrange(100)) for _ in range(PROMPT_NUMBERS))
    fields = {
        "model": "qstar-lab",
        "prompt": prompt,
        "max_tokens": MAX_TOKENS,
        "ignore_eos": True,
        "temperature": 1.0,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body = json.dumps(fields).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and of all that it has started, up to now."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


async def tokens_of_stream(port: int, request: bytes) -> int:
    """Visible tokens of one whole stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    content = await reader.read()
    writer.close()
    if b"data: [DONE]" not in content[-64:]:
        raise RuntimeError(f"a stream ended early: {content[-300:]!r}")
    return int(_COUNT.findall(content)[-1])


async def measure(port: int, process: psutil.Process, seed: int) -> tuple[float, float]:
    """Tokens a second of whole streams that end in the measured time, and CPU time of a token, ms.

    The CPU time is that of the server alone. It says more than the rate on a busy machine.
    """
    numbers = random.Random(seed)
    begin = time.monotonic() + WARM_UP_S
    total = 0

    async def keep_asking() -> None:
        nonlocal total
        while time.monotonic() < begin + MEASURED_S:
            num_tokens = await tokens_of_stream(port, request_bytes(numbers))
            if begin <= time.monotonic() < begin + MEASURED_S:
                total += num_tokens

    async def spent() -> float:
        await asyncio.sleep(WARM_UP_S)
        before = cpu_seconds(process)
        await asyncio.sleep(MEASURED_S)
        return cpu_seconds(process) - before

    seconds, *_ = await asyncio.gather(spent(), *(keep_asking() for _ in range(NUM_STREAMS)))
    assert seconds is not None
    return total / MEASURED_S, seconds / total * 1000


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    costs: dict[str, list[float]] = {name: [] for name in WAYS}
    loads: list[float] = []
    for seed in range(arguments.rounds):
        for name, options in WAYS.items():
            with started(*options) as (port, process):
                loads.append(os.getloadavg()[0])
                rate, cost = asyncio.run(measure(port, process, seed))
            rates[name].append(rate)
            costs[name].append(cost)
            sys.stdout.write(f"{name:14} {rate:8.1f} tokens/s {cost:6.3f} ms of CPU a token\n")
            sys.stdout.flush()
    one, two = (median(rates[name]) for name in WAYS)
    sys.stdout.write(f"ratio of the medians {two / one:.2f}\n")
    if arguments.json is not None:
        results = {
            "device": describe_device(torch.device("cpu")),
            "versions": versions(),
            "load_averages_before": loads,
            "tokens_per_second": rates,
            "cpu_ms_per_token": costs,
            "ratio": two / one,
        }
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
