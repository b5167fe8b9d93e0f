"""Ask `/health` until a line arrives on stdin: python -m tests.load.health_probe URL.

Prints the times of the answers in seconds, as a JSON list. It is a process of its own, so that its
times do not include the work of the load.
"""

import json
import sys
import threading
import time

import httpx

PERIOD_S = 0.05


def main() -> None:
    """Probe."""
    is_over = threading.Event()
    threading.Thread(target=_wait_for_line, args=(is_over,), daemon=True).start()
    times = []
    with httpx.Client(base_url=sys.argv[1]) as client:
        while not is_over.is_set():
            began = time.perf_counter()
            assert client.get("/health").status_code == 200
            times.append(time.perf_counter() - began)
            time.sleep(PERIOD_S)
    sys.stdout.write(json.dumps(times))


def _wait_for_line(is_over: threading.Event) -> None:
    sys.stdin.readline()
    is_over.set()


if __name__ == "__main__":
    main()
