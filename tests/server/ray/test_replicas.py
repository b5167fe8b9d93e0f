"""Two replicas on a real Ray cluster, behind `qstar serve --ray`."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.load.streams import Answer, make_requests
from tests.server.fake_engine import MODEL
from tests.server.ray.outcomes import expected_answers, send_all
from tests.server.ray.served_on_ray import RayServer, served_on_ray, wait_for
from tests.server.real_engine import save_toy

pytest.importorskip("ray", reason="replicas need the extra `ray`")
pytestmark = pytest.mark.slow

NUM_STREAMS = 500
NUM_DIFFERENT = 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    folder = tmp_path_factory.mktemp("ray")
    options = ("--ray-min-replicas", "2", "--served-model-name", MODEL)
    with served_on_ray(save_toy(folder / "toy"), folder / "log", *options) as server:
        wait_for(lambda: len(server.replica_ids()) == 2)
        yield server


@pytest.fixture(scope="module")
def bodies() -> list[dict[str, Any]]:
    return [{**body, "model": MODEL} for body in make_requests(NUM_DIFFERENT, seed=5)]


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[dict[str, Any]]
) -> list[Answer]:
    return expected_answers(tmp_path_factory.mktemp("one") / "toy", bodies)


def test_500_streams_are_those_of_one_server(
    server: RayServer, bodies: list[dict[str, Any]], expected: list[Answer]
) -> None:
    """Texts, thoughts, log-probabilities and finish reasons; none is crossed, none is lost."""
    times = NUM_STREAMS // NUM_DIFFERENT
    before = server.gauge("qstar:generation_tokens_total")
    outcomes = asyncio.run(send_all(server.url, bodies * times, expected * times, num_open=32))
    assert outcomes.counts == {"complete": NUM_STREAMS}, outcomes.wrong[:3]
    after = server.gauge("qstar:generation_tokens_total")
    tokens = [after[name] - before[name] for name in after]
    assert min(tokens) > 0.2 * sum(tokens)  # both have worked


def test_a_conversation_finds_its_prefix(server: RayServer) -> None:
    url = server.url + "/v1/chat/completions"
    for number in range(8):
        messages = [{"role": "user", "content": f"{number} " + "tell me more about it " * 3}]
        cached = []
        for _ in range(2):
            body = {"model": MODEL, "messages": messages, "max_tokens": 8}
            answer = httpx.post(url, json=body, timeout=60).json()
            cached.append(answer["usage"]["prompt_tokens_details"]["cached_tokens"])
            messages = [
                *messages,
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "And?"},
            ]
        assert cached[0] == 0 < cached[1]


def test_a_client_that_leaves_aborts_the_work_on_the_replica(server: RayServer) -> None:
    body = {"model": MODEL, "prompt": "Go on", "max_tokens": 240, "ignore_eos": True}
    aborted = 'qstar:request_success_total{finished_reason="abort"'

    def num_aborted() -> float:
        text = httpx.get(server.url + "/metrics", timeout=60).text
        lines = [line for line in text.splitlines() if line.startswith(aborted)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    before = num_aborted()
    url = server.url + "/v1/completions"
    with httpx.stream("POST", url, json={**body, "stream": True}, timeout=60) as response:
        next(response.iter_raw())
    wait_for(lambda: num_aborted() == before + 1)
    wait_for(lambda: sum(server.gauge("qstar:num_requests_running").values()) == 0)


def test_a_replica_that_is_killed(
    server: RayServer, bodies: list[dict[str, Any]], expected: list[Answer]
) -> None:
    """Its streams end with an error event; all other requests succeed; another one takes over."""
    ids, pids = server.replica_ids(), server.replica_pids()
    assert len(pids) == 2
    num_open = 24
    load = [{**body, "stream": number % 3 > 0} for number, body in enumerate(bodies)]

    def kill() -> None:
        wait_for(lambda: sum(server.gauge("qstar:num_requests_running").values()) >= num_open / 2)
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = asyncio.run(send_all(server.url, load * 4, expected * 4, num_open=num_open))
    killer.join()
    assert not outcomes.wrong, outcomes.wrong[:3]
    assert 1 <= outcomes.counts["broken"] <= num_open
    assert outcomes.counts.total() == 4 * NUM_DIFFERENT
    wait_for(lambda: len(server.replica_ids() - ids) == 1 and len(server.replica_ids()) == 2)
    assert pids[0] not in server.replica_pids()
    again = asyncio.run(send_all(server.url, bodies, expected, num_open=num_open))
    assert again.counts == {"complete": NUM_DIFFERENT}
    served = server.gauge("qstar:generation_tokens_total")
    assert served.keys() == server.replica_ids()
    assert min(served.values()) > 0


def test_a_stop_lets_open_streams_finish(server: RayServer) -> None:
    """The last test: afterwards there is no server."""
    body = {"model": MODEL, "prompt": "Go", "max_tokens": 200, "ignore_eos": True, "stream": True}
    url = server.url + "/v1/completions"
    with httpx.stream("POST", url, json=body, timeout=120) as response:
        lines = response.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(server.url + "/health").status_code == 503)
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert not any('"error"' in line for line in rest)
    assert server.process.wait(120) == 0
    wait_for(lambda: not server.replica_pids(), timeout_s=30)
