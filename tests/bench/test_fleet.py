"""The simulator of a fleet, beside closed forms of queues, passes and batches."""

import statistics
from math import exp, factorial
from typing import Any

import pytest

from benchmarks.fleet.cost import ConstantTime, FrontTime, StepTime
from benchmarks.fleet.replica import ReplicaConfig
from benchmarks.fleet.simulate import Outcome, simulate
from benchmarks.fleet.size import Limit, size_fleet
from benchmarks.fleet.workload import Lengths, Workload
from qstar_infer.bench.serve.arrivals import poisson_arrivals
from qstar_infer.config import EngineConfig
from qstar_infer.wavefront.depth_yield import depth_yield

STEP_S = 0.01


def replica(
    *,
    max_num_seqs: int = 64,
    max_queue: int = 10_000,
    step_time: StepTime = ConstantTime(STEP_S),  # noqa: B008
    front_time: FrontTime = FrontTime(),  # noqa: B008
    **limits: Any,
) -> ReplicaConfig:
    engine = EngineConfig(
        prefix_caching=False, max_num_seqs=max_num_seqs, max_queue=max_queue, **limits
    )
    return ReplicaConfig(
        engine=engine, num_blocks=5_000, step_time=step_time, front_time=front_time
    )


def workload(
    *,
    rate: float = 1.0,
    duration_s: float = 20.0,
    prompt_tokens: float = 1,
    output_tokens: float = 1,
    num_thought_tokens: int = 0,
    agreement: float = 1.0,
    burst: int = 1,
) -> Workload:
    return Workload(
        rate=rate,
        duration_s=duration_s,
        prompt_tokens=Lengths(prompt_tokens),
        output_tokens=Lengths(output_tokens),
        num_thought_tokens=num_thought_tokens,
        agreement=agreement,
        burst=burst,
    )


def one(config: ReplicaConfig, **options: Any) -> Outcome:
    """What a single request sees."""
    load = workload(rate=0.1, duration_s=25.0, **options)
    assert len(load.requests()) == 1
    return simulate(config, load)


# --- queues ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", [0.3, 0.6])
def test_one_server_with_equal_jobs_is_an_m_d_1_queue(usage: float) -> None:
    """Pollaczek and Khinchine: the mean wait is usage / (2 (1 - usage)) jobs. 6,000 jobs know it
    to about 5 %."""
    load = workload(rate=usage / STEP_S, duration_s=6_000 * STEP_S / usage)
    outcome = simulate(replica(max_num_seqs=1), load)
    assert outcome.mean_ttft_s is not None
    wait_s = outcome.mean_ttft_s - STEP_S
    assert wait_s == pytest.approx(STEP_S * usage / (2 * (1 - usage)), rel=0.12)
    assert outcome.busy_share == pytest.approx(usage, rel=0.05)


def test_a_full_queue_refuses() -> None:
    load = workload(rate=1.0, duration_s=20.0, burst=5)
    outcome = simulate(replica(max_num_seqs=1, max_queue=1), load)
    assert outcome.num_requests == len(load.requests()) > 0
    assert outcome.refused_share == pytest.approx(3 / 5)


def test_a_router_spreads_a_burst() -> None:
    """Two requests at once: with two replicas neither waits for the other."""
    load = workload(rate=1.0, duration_s=20.0, burst=2)
    alone = simulate(replica(max_num_seqs=1), load)
    assert alone.ttft_s is not None
    assert alone.ttft_s["p99"] == pytest.approx(2 * STEP_S)
    for router in ("round_robin", "least_open"):
        both = simulate(replica(max_num_seqs=1), load, num_replicas=2, router=router)
        assert both.ttft_s is not None
        assert both.ttft_s["p99"] == pytest.approx(STEP_S)


def test_the_freest_replica_is_better_than_turns() -> None:
    """Join the shortest queue waits less than round robin, which does not see who is busy."""
    load = Workload(
        rate=160.0,
        duration_s=10.0,
        prompt_tokens=Lengths(1),
        output_tokens=Lengths(4, 2.0),
        num_thought_tokens=0,
        agreement=1.0,
    )
    config = replica(max_num_seqs=2)
    turns = simulate(config, load, num_replicas=4, router="round_robin")
    freest = simulate(config, load, num_replicas=4, router="least_open")
    assert turns.mean_ttft_s is not None
    assert freest.mean_ttft_s is not None
    assert freest.mean_ttft_s < 0.8 * turns.mean_ttft_s


# --- passes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "length"), [(1, 8), (4, 20), (8, 50)])
def test_right_drafts_cost_one_pass_a_token_and_wrong_ones_a_whole_thought(
    n: int, length: int
) -> None:
    """The first token of a text waits for its thought, n passes, also if all drafts are right."""
    options: dict[str, Any] = {"output_tokens": length, "num_thought_tokens": n}
    right = one(replica(speculation=n), agreement=1.0, **options)
    assert right.passes_per_token == pytest.approx((length + n) / length)
    assert right.rejected_share == 0.0
    wrong = one(replica(speculation=n), agreement=0.0, **options)
    assert wrong.passes_per_token == pytest.approx(n + 1)
    assert wrong.rejected_share == 1.0


@pytest.mark.parametrize(("n", "depth", "agreement"), [(4, 4, 0.9), (8, 8, 0.7), (8, 3, 0.9)])
def test_passes_and_rows_are_those_of_the_depth(n: int, depth: int, agreement: float) -> None:
    """About 1 + (1 - p) n passes at full depth; else as the engine's own sums say."""
    outcome = one(
        replica(speculation=depth),
        output_tokens=2_000,
        num_thought_tokens=n,
        agreement=agreement,
    )
    sums = depth_yield(n, depth, agreement)
    assert outcome.passes_per_token == pytest.approx(1 / sums.tokens_per_pass, rel=0.05)
    assert outcome.rows_per_step == pytest.approx(sums.rows_per_pass, rel=0.05)
    assert outcome.rejected_share == pytest.approx(1 - agreement, abs=0.02)
    if depth == n:
        assert outcome.passes_per_token == pytest.approx(1 + (1 - agreement) * n, rel=0.05)


@pytest.mark.learned_depth
def test_a_depth_is_learned_where_rows_are_dear() -> None:
    """With half of the drafts wrong and rows that cost as much as steps, drafts do not pay; where
    rows are free they do."""

    class DearRows:
        def seconds(self, step: Any) -> float:
            return float(step.rows) * STEP_S

    options: dict[str, Any] = {
        "output_tokens": 400,
        "num_thought_tokens": 8,
        "agreement": 0.5,
    }
    dear = one(replica(step_time=DearRows()), **options)
    free = one(replica(), **options)
    assert dear.rows_per_step < 0.6 * free.rows_per_step
    assert dear.passes_per_token > 1.3 * free.passes_per_token


def test_a_long_prompt_is_read_in_chunks() -> None:
    outcome = one(replica(max_rows=64), prompt_tokens=300, output_tokens=1)
    assert outcome.ttft_s is not None
    assert outcome.ttft_s["p50"] == pytest.approx(5 * STEP_S)


# --- throughput -----------------------------------------------------------------------------------


def test_a_full_batch_has_a_known_throughput() -> None:
    """Of 4 S requests at once, S run at a time. Each takes (length + n) steps."""
    max_num_seqs, length, n = 8, 30, 4
    load = workload(
        rate=3.2,
        duration_s=25.0,
        burst=4 * max_num_seqs,
        output_tokens=length,
        num_thought_tokens=n,
    )
    assert len(load.requests()) == 4 * max_num_seqs
    outcome = simulate(replica(max_num_seqs=max_num_seqs, speculation=n), load)
    assert outcome.e2e_s is not None
    assert outcome.longest_e2e_s == pytest.approx(4 * (length + n) * STEP_S)
    assert outcome.preemptions == 0


def test_http_takes_its_time() -> None:
    """A request costs once, each event of its stream again, and steps wait for it."""
    front_time = FrontTime(request_s=0.5, delta_s=0.25)
    outcome = one(replica(front_time=front_time), output_tokens=4)
    assert outcome.longest_e2e_s == pytest.approx(0.5 + 4 * (STEP_S + 0.25))


def test_memory_that_is_too_small_preempts_and_loses_nothing() -> None:
    engine = EngineConfig(prefix_caching=False, max_num_seqs=8)
    config = ReplicaConfig(engine=engine, num_blocks=20, step_time=ConstantTime(STEP_S))
    load = workload(rate=4.0, duration_s=10.0, burst=8, prompt_tokens=32, output_tokens=60)
    outcome = simulate(config, load)
    assert outcome.preemptions > 0
    assert outcome.num_tokens == 60 * outcome.num_requests


def test_a_request_larger_than_the_memory_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        one(replica(), output_tokens=200_000)


# --- loads ----------------------------------------------------------------------------------------


def test_arrivals_are_those_of_the_load_test() -> None:
    load = workload(rate=3.0, duration_s=30.0)
    assert [each.arrival_s for each in load.requests()] == poisson_arrivals(3.0, 30.0, seed=0)


def test_bursts_keep_the_rate() -> None:
    requests = workload(rate=20.0, duration_s=500.0, burst=10).requests()
    times = [each.arrival_s for each in requests]
    assert all(times[place] == times[place - place % 10] for place in range(len(times)))
    assert len(requests) / 500.0 == pytest.approx(20.0, rel=0.1)


def test_lengths_have_their_mean_and_variation() -> None:
    """20,000 draws know the mean to 1 %; cutting at ten times the mean hardly matters here."""
    load = Workload(
        rate=2_000.0,
        duration_s=10.0,
        prompt_tokens=Lengths(200, 0.5),
        output_tokens=Lengths(70),
        num_thought_tokens=0,
        agreement=1.0,
    )
    requests = load.requests()
    prompts = [each.num_prompt_tokens for each in requests]
    assert statistics.mean(prompts) == pytest.approx(200, rel=0.02)
    assert statistics.stdev(prompts) / statistics.mean(prompts) == pytest.approx(0.5, rel=0.05)
    assert {each.num_output_tokens for each in requests} == {70}


# --- sizes of fleets ------------------------------------------------------------------------------


def wait_distribution(usage: float, jobs: int) -> float:
    """Erlang: the share of an M/D/1 queue's jobs that wait at most as long as so many jobs take."""
    terms = (
        (usage * (k - jobs)) ** k / factorial(k) * exp(usage * (jobs - k)) for k in range(jobs + 1)
    )
    return (1 - usage) * sum(terms)


def test_a_fleet_has_as_many_replicas_as_the_limit_needs() -> None:
    """Of an M/D/1 queue, 95 of 100 jobs wait at most four others if a share of 0.70 of the time is
    work, and more jobs above that."""
    assert wait_distribution(0.70, 4) == pytest.approx(0.95, abs=0.005)
    limit = Limit(p95_ttft_s=5 * STEP_S)
    load = workload(rate=1_000.0, duration_s=20.0)
    found = size_fleet(replica(max_num_seqs=1), load, limit)
    assert found.rate_per_replica == pytest.approx(0.70 / STEP_S, rel=0.1)
    assert limit.holds(found.outcome)
    above = workload(rate=1.1 * found.rate_per_replica, duration_s=20.0)
    assert not limit.holds(simulate(replica(max_num_seqs=1), above))
    assert 1_000 / found.rate_per_replica <= found.num_replicas < 1_000 / found.rate_per_replica + 1


def test_a_limit_that_cannot_hold_is_an_error() -> None:
    with pytest.raises(ValueError, match="never holds"):
        size_fleet(replica(), workload(duration_s=400.0), Limit(p95_ttft_s=STEP_S / 2))


def test_a_load_that_is_too_short_is_an_error() -> None:
    """Before the first requests have ended, no queue can be seen to grow."""
    load = workload(duration_s=5.0, output_tokens=100)
    with pytest.raises(ValueError, match="5 s of arrivals are too short"):
        size_fleet(replica(max_num_seqs=2), load, Limit(p95_ttft_s=1.0))


def test_the_price_of_a_million_tokens() -> None:
    outcome = one(replica(), output_tokens=100)
    price = outcome.cost_per_million(replicas=3, price_per_hour=2.0)
    assert price == pytest.approx(6.0 / (3600 * outcome.tok_s) * 1e6)
