"""The number of replicas follows the queue, and no request notices."""

import asyncio
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.load.streams import make_requests
from tests.server.fake_engine import MODEL
from tests.server.ray.outcomes import Outcomes, expected_answers, send_all
from tests.server.ray.served_on_ray import RayServer, served_on_ray, wait_for
from tests.server.real_engine import save_toy

pytest.importorskip("ray", reason="replicas need the extra `ray`")
pytestmark = pytest.mark.slow

OPTIONS = (
    *("--ray-min-replicas", "1", "--ray-max-replicas", "2", "--max-num-seqs", "4"),
    *("--ray-upscale-delay-s", "0.5", "--ray-downscale-delay-s", "3"),
    *("--served-model-name", MODEL),
)


def has_replicas(server: RayServer, count: int) -> bool:
    """Whether so many are known, and so many have a process."""
    return len(server.replica_ids()) == len(server.replica_pids()) == count


def test_one_two_one(tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = [{**body, "model": MODEL} for body in make_requests(20, seed=6)]
    expected = expected_answers(tmp_path / "one", bodies)
    seen: list[Outcomes] = []
    with served_on_ray(save_toy(tmp_path / "toy"), tmp_path / "log", *OPTIONS) as server:
        assert len(server.replica_ids()) == 1

        def keep_busy(num_open: int, is_over: threading.Event) -> None:
            while not is_over.is_set():
                seen.append(asyncio.run(send_all(server.url, bodies, expected, num_open=num_open)))

        # Sixteen at a time make four wait at each of two replicas; one at a time needs one replica.
        for num_open, num_replicas in ((16, 2), (1, 1)):
            is_over = threading.Event()
            busy = threading.Thread(target=keep_busy, args=[num_open, is_over])
            busy.start()
            try:
                wait_for(partial(has_replicas, server, num_replicas))
            finally:
                is_over.set()
                busy.join()
        seen.append(asyncio.run(send_all(server.url, bodies, expected, num_open=1)))
        assert server.stop() == 0
    assert not [wrong for outcomes in seen for wrong in outcomes.wrong]
    assert {name for outcomes in seen for name in outcomes.counts} == {"complete"}
