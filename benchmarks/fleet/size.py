"""How much one replica carries within a limit, and how many a fleet needs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.fleet.replica import ReplicaConfig
from benchmarks.fleet.simulate import Outcome, simulate
from benchmarks.fleet.workload import Workload

_LEAST_LIVES = 8
"""The simulated time must be so many times that of a request, or the start counts too much."""
_PRECISION = 1.05
"""The search ends when the largest rate that holds is known to 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a user must see."""

    p95_ttft_s: float
    p95_itl_s: float = math.inf

    def holds(self, outcome: Outcome) -> bool:
        if outcome.ttft_s is None or outcome.refused_share > 0:
            return False
        itl_s = outcome.itl_s["p95"] if outcome.itl_s else 0.0
        return outcome.ttft_s["p95"] <= self.p95_ttft_s and itl_s <= self.p95_itl_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The answer, and what one replica does at its rate."""

    rate_per_replica: float
    """Largest rate at which the limit holds, requests per second."""
    num_replicas: int
    outcome: Outcome
    """Of one replica at that rate."""


def size_fleet(
    config: ReplicaConfig,
    workload: Workload,
    limit: Limit,
    *,
    on_try: Callable[[float, Outcome], None] = lambda *_: None,
) -> Sizing:
    """Replicas for the workload's rate, each with an equal part of it.

    A router that chooses at random splits a Poisson process into independent ones, so one replica
    stands for all. One that knows how busy the replicas are does a little better.

    Raises:
        ValueError: one replica does not even hold the limit for a request in 100 seconds; or the
            simulated time is too short to see a queue grow.
    """

    def outcome_at(rate: float) -> Outcome:
        outcome = simulate(config, replace(workload, rate=rate))
        on_try(rate, outcome)
        return outcome

    low, best = 0.0, None
    high = 1.0
    while high > 0.01 and not limit.holds(found := outcome_at(high)):
        high /= 4
    if high <= 0.01:
        raise ValueError(f"one replica never holds {limit}: an idle one takes {found.ttft_s}")
    while limit.holds(found):
        low, best, high = high, found, high * 2
        found = outcome_at(high)
    while high / low > _PRECISION:
        middle = math.sqrt(low * high)
        found = outcome_at(middle)
        if limit.holds(found):
            low, best = middle, found
        else:
            high = middle
    assert best is not None
    _check_long_enough(best, workload.duration_s)
    return Sizing(rate_per_replica=low, num_replicas=math.ceil(workload.rate / low), outcome=best)


def _check_long_enough(outcome: Outcome, duration_s: float) -> None:
    needed_s = _LEAST_LIVES * (outcome.e2e_s["p50"] if outcome.e2e_s else 0.0)
    if duration_s < needed_s:
        raise ValueError(
            f"{duration_s:g} s of arrivals are too short, because a request takes "
            f"{needed_s / _LEAST_LIVES:.3g} s; simulate at least {math.ceil(needed_s)} s"
        )
