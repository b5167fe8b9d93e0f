"""A fleet under load: arrivals, a router, replicas, and what their users see."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any, Literal

from benchmarks.fleet.replica import Replica, ReplicaConfig
from benchmarks.fleet.workload import Workload
from qstar_infer.bench.serve.client import RequestRecord
from qstar_infer.bench.statistics import percentiles

Router = Literal["round_robin", "least_open"]
"""`least_open`: to the replica with the fewest requests that run or wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulation found. Latencies are percentiles in seconds, from a request's arrival."""

    num_requests: int
    refused_share: float
    """Requests that found a full queue."""
    tok_s: float
    """Visible tokens of the fleet per second, from the start to the end of the last request."""
    num_tokens: int
    ttft_s: dict[str, float] | None
    mean_ttft_s: float | None
    itl_s: dict[str, float] | None
    e2e_s: dict[str, float] | None
    longest_e2e_s: float | None
    passes_per_token: float
    rows_per_step: float
    step_ms: float
    rejected_share: float
    """Drafts that the thought overruled."""
    busy_share: float
    """Of the time, over all replicas, in which a step ran."""
    preemptions: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def cost_per_million(self, *, replicas: int, price_per_hour: float) -> float:
        """Price of a million visible tokens, at the price of a replica's hour."""
        return replicas * price_per_hour / 3600 / self.tok_s * 1e6


def simulate(
    config: ReplicaConfig,
    workload: Workload,
    *,
    num_replicas: int = 1,
    router: Router = "least_open",
) -> Outcome:
    """Send the workload to a fleet, and run it until the last request has ended."""
    fleet = [
        Replica(
            config,
            num_thought_tokens=workload.num_thought_tokens,
            agreement=workload.agreement,
            seed=workload.seed * 1000 + number,
        )
        for number in range(num_replicas)
    ]
    turns = cycle(fleet)
    ends_s = [0.0]
    sent: list[tuple[float, RequestRecord]] = []
    for request in workload.requests():
        for replica in fleet:
            replica.advance(request.arrival_s)
        chosen = next(turns) if router == "round_robin" else min(fleet, key=_load)
        sent.append((request.arrival_s, chosen.submit(request)))
    for replica in fleet:
        replica.finish()
    ends_s += [at_s + record.end_s for at_s, record in sent if record.end_s is not None]
    return _outcome(fleet, [record for _, record in sent], max(ends_s))


def _load(replica: Replica) -> int:
    return replica.num_open


def _outcome(fleet: Sequence[Replica], records: Sequence[RequestRecord], seconds: float) -> Outcome:
    done = [record for record in records if record.error is None]
    passes = [replica.counts.passes_per_token.read() for replica in fleet]
    num_tokens = sum(record.num_tokens for record in done)
    first_s = [each.ttft_s for each in done if each.ttft_s is not None]
    whole_s = [each.end_s for each in done if each.end_s is not None]
    num_steps = sum(replica.counts.steps for replica in fleet)
    num_compared = sum(replica.num_compared for replica in fleet)
    num_kept = sum(replica.num_kept for replica in fleet)
    busy_s = sum(replica.busy_s for replica in fleet)
    return Outcome(
        num_requests=len(records),
        refused_share=1 - len(done) / max(1, len(records)),
        tok_s=num_tokens / max(seconds, 1e-9),
        num_tokens=num_tokens,
        ttft_s=percentiles(first_s),
        mean_ttft_s=statistics.mean(first_s) if first_s else None,
        itl_s=percentiles([gap for each in done for gap in each.gaps]),
        e2e_s=percentiles(whole_s),
        longest_e2e_s=max(whole_s, default=None),
        passes_per_token=sum(each.total for each in passes)
        / max(1, sum(each.num_values for each in passes)),
        rows_per_step=sum(replica.counts.rows for replica in fleet) / max(1, num_steps),
        step_ms=1000 * busy_s / max(1, num_steps),
        rejected_share=1 - num_kept / num_compared if num_compared else 0.0,
        busy_share=busy_s / max(seconds, 1e-9) / len(fleet),
        preemptions=sum(replica.scheduler.num_preemptions for replica in fleet),
    )
