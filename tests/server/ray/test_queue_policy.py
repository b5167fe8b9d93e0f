"""How many replicas the queues ask for, and what each of them gets."""

import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

pytest.importorskip("ray", reason="replicas need the extra `ray`")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of Ray about itself
    from qstar_server.ray import app
    from qstar_server.ray.application import share_of_each
    from qstar_server.ray.queue_policy import QueuePolicy, replicas_wanted


@pytest.mark.parametrize(
    ("num_replicas", "waiting", "running", "wanted"),
    [
        (1, 0, 0, 0),  # Ray Serve keeps the least
        (1, 0, 10, 1),
        (1, 0.4, 10, 1),  # somebody waited for a moment
        (1, 1, 10, 2),
        (1, 25, 10, 4),
        (2, 1, 3, 3),  # memory for keys and values has run out before the batch is full
        (3, 0, 17, 3),
        (3, 0, 16, 2),
        (3, 0.1, 16, 3),
    ],
)
def test_replicas_wanted(num_replicas: int, waiting: float, running: float, wanted: int) -> None:
    got = replicas_wanted(num_replicas, waiting=waiting, running=running, room=10)
    assert got == wanted


def test_it_settles() -> None:
    """A constant load of any size leads to a number of replicas that stays."""
    for load in range(0, 100, 3):
        count = 1
        for _ in range(50):
            in_batches = min(load, 10 * count)
            count = replicas_wanted(count, waiting=load - in_batches, running=in_batches, room=10)
            count = max(1, count)
        assert count >= math.ceil(load / 10)
        in_batches = min(load, 10 * count)
        again = replicas_wanted(count, waiting=load - in_batches, running=in_batches, room=10)
        assert max(1, again) == count


def context(**fields: Any) -> SimpleNamespace:
    means = {"waiting": {"a": 4.0, "b": 7.0}, "running": {"a": 10.0, "b": 10.0}}
    defaults = {"target_num_replicas": 2, "current_num_replicas": 2, "aggregated_metrics": means}
    return SimpleNamespace(**(defaults | fields))


def test_the_policy_adds_up_what_replicas_record() -> None:
    policy = QueuePolicy(room=10)
    assert policy(context())[0] == 4
    assert policy(context(current_num_replicas=1))[0] == 2  # one is being started
    assert policy(context(aggregated_metrics={}))[0] == 1
    assert policy(context(aggregated_metrics=None))[0] == 1


@pytest.mark.parametrize(
    ("settings", "resources", "num_replicas", "share"),
    [
        ({}, {"CPU": 8.0}, 2, (4, 0)),
        ({}, {"CPU": 8.0}, 3, (2, 0)),
        ({}, {"CPU": 2.0}, 4, (1, 0)),
        ({"threads": 3}, {"CPU": 8.0}, 2, (3, 0)),
        ({}, {"CPU": 8.0, "GPU": 2.0}, 2, (1, 1)),
        ({"device": "cpu"}, {"CPU": 8.0, "GPU": 2.0}, 2, (4, 0)),
    ],
)
def test_the_machine_is_divided_among_the_replicas(
    settings: dict[str, Any],
    resources: dict[str, float],
    num_replicas: int,
    share: tuple[int, int],
) -> None:
    assert share_of_each(EngineArgs.of(**settings), resources, num_replicas) == share


def test_the_application_takes_no_arguments() -> None:
    with pytest.raises(ConfigError, match="takes no arguments, got model"):
        app({"model": "lab"})
