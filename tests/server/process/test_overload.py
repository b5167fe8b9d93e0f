"""Many large bodies at once: they wait for each other, and nobody waits for them."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.raw_http import connect, read_to_end, request_bytes
from tests.server.served_process import url_of
from tests.server.wire import body, chunks_of, error_of

ROOT = Path(__file__).parents[3]
JSON = {"content-type": "application/json"}


class SlowTokens(FakeEngine):
    """Tokenising takes until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.num_at_work = 0
        self.most_at_work = 0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        self.num_at_work += 1
        self.most_at_work = max(self.most_at_work, self.num_at_work)
        self.go.wait(20)
        self.num_at_work -= 1
        return super().encode(text, add_special_tokens=add_special_tokens)


def post_in_threads(
    live: LiveServer, count: int, statuses: list[int], **fields: object
) -> list[threading.Thread]:
    def post() -> None:
        answer = httpx.post(f"{live.url}/v1/completions", json=body(**fields), timeout=60)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=post) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_health_does_not_wait_for_tokenising() -> None:
    """40 refused requests took all threads of the pool that answered /health too."""
    engine = SlowTokens()
    live = start_server(engine, ServerConfig(drain_grace_s=0))
    statuses: list[int] = []
    threads = post_in_threads(live, 50, statuses, prompt=["a", "b"])
    wait_until(lambda: engine.num_at_work >= 2)
    for _ in range(5):
        assert httpx.get(f"{live.url}/health", timeout=10).status_code == 200
    assert statuses == []
    engine.go.set()
    for thread in threads:
        thread.join()
    live.stop()
    engine.close()
    assert statuses == [200] * 50
    assert engine.most_at_work <= 4


def test_prompts_after_a_wrong_one_cost_nothing(live: LiveServer, engine: FakeEngine) -> None:
    prompts = ["x" * 2000] * 100
    answer = httpx.post(f"{live.url}/v1/completions", json=body(prompt=prompts))
    assert error_of(answer)["code"] == "context_length_exceeded"
    assert len(engine.encode_calls) <= 1


def test_a_full_queue_costs_no_tokenising(live: LiveServer, engine: FakeEngine) -> None:
    engine.is_full = True
    answer = httpx.post(f"{live.url}/v1/completions", json=body(prompt=["a"] * 100))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert engine.encode_calls == []


def test_bodies_share_a_budget(engine: FakeEngine) -> None:
    """A body counts until its request has ended; then there is room again."""
    live = start_server(
        engine, ServerConfig(max_body_bytes=1000, max_bodies_bytes=2500, drain_grace_s=0)
    )
    engine.is_hung = True
    raw = json.dumps(body(max_tokens=1)).encode().ljust(1000)
    answers: list[httpx.Response] = []

    def post() -> None:
        url = f"{live.url}/v1/completions"
        answers.append(httpx.post(url, content=raw, headers=JSON, timeout=30))

    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: engine.num_open == 2)
    third = httpx.post(f"{live.url}/v1/completions", content=raw, headers=JSON)
    assert (third.status_code, third.headers["retry-after"]) == (503, "1")
    assert error_of(third)["code"] == "server_is_overloaded"
    small = httpx.post(f"{live.url}/v1/models", content=b"{}")
    assert small.status_code == 405
    engine.is_hung = False
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]
    post()
    assert answers[-1].status_code == 200
    live.stop()


def test_a_body_above_the_limit_is_counted_once(engine: FakeEngine) -> None:
    """What is read only to be dropped does not take from the budget."""
    live = start_server(
        engine, ServerConfig(max_body_bytes=1000, max_bodies_bytes=1000, drain_grace_s=0)
    )
    for _ in range(2):
        answer = httpx.post(f"{live.url}/v1/completions", content=b" " * 7000, headers=JSON)
        assert answer.status_code == 413
    live.stop()


def test_a_response_that_takes_too_long_ends(engine: FakeEngine) -> None:
    live = start_server(engine, ServerConfig(request_timeout_s=0.5, drain_grace_s=0))
    engine.step_s = 0.05
    url, request = f"{live.url}/v1/completions", body(max_tokens=400, ignore_eos=True)
    whole = httpx.post(url, json=request)
    assert (whole.status_code, whole.headers["x-should-retry"]) == (504, "false")
    assert error_of(whole)["code"] == "generation_timeout"
    streamed = httpx.post(url, json=request | {"stream": True})
    *chunks, error = chunks_of(streamed.text)
    assert error["error"]["code"] == "generation_timeout"
    assert chunks
    wait_until(lambda: engine.num_open == 0)
    engine.step_s = 0
    assert httpx.post(url, json=body()).status_code == 200
    live.stop()


@pytest.mark.slow
def test_40_refused_requests_of_128_long_prompts_stop_nobody() -> None:
    """/health took up to 44 seconds, and memory grew from 0.65 to 1.8 GB."""
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", "lab", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--log-level", "warning"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    url = url_of(process)
    memory = psutil.Process(process.pid).memory_info
    fields = {"model": "qstar-lab", "prompt": ["ab " * 5000] * 128, "max_tokens": 1}
    raw = request_bytes(**fields).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    codes: Counter[str] = Counter()
    times: list[float] = []
    most = before = 0

    def post() -> None:
        # Not httpx: on a small machine its own work would delay the client that measures.
        with connect(httpx.URL(url).port or 0) as connection:
            connection.sendall(raw)
            _, _, text = read_to_end(connection).partition(b"\r\n\r\n")
            codes[json.loads(text)["error"]["code"]] += 1

    with httpx.Client() as client:
        for _ in range(3):
            threads = [threading.Thread(target=post) for _ in range(40)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                begin = time.monotonic()
                assert client.get(url.replace("v1", "health"), timeout=60).status_code == 200
                times.append(time.monotonic() - begin)
                most = max(most, memory().rss)
                time.sleep(0.02)
            before = before or memory().rss
        after = memory().rss
    process.terminate()
    process.communicate(timeout=30)
    assert codes.keys() <= {"context_length_exceeded", "server_is_overloaded"}
    assert codes["context_length_exceeded"] > 60
    assert max(times) < 0.5
    assert most - before < 200e6
    assert after - before < 60e6
