"""What an engine counts: against its outputs, and against the passes of the definition."""

import time

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.outputs import EngineStats, RequestOutput
from tests.engine.run_requests import request
from tests.parity.toy import make_toy

THOUGHT_LENGTH = 3


def run(engine: LLMEngine, *requests: EngineRequest) -> list[RequestOutput]:
    """The deltas of requests that must not fail."""
    for each in requests:
        engine.add_request(engine.admission.admit(each))
    deltas: list[RequestOutput] = []
    while engine.has_work:
        for news in engine.step():
            assert not isinstance(news, RequestFailure)
            deltas.append(news)
    return deltas


@pytest.fixture
def sequential() -> LLMEngine:
    """An engine without drafts, so that the number of passes is known."""
    toy = make_toy(num_thought_tokens=THOUGHT_LENGTH)
    return LLMEngine(toy.model, EngineConfig(speculation="off"))


def test_passes_per_token_without_drafts(sequential: LLMEngine) -> None:
    """A thought takes one pass more than it has tokens; without one, a token takes one pass."""
    run(sequential, request("thinks"))
    counts = sequential.stats().passes_per_token
    assert (counts.num_values, counts.total) == (1, THOUGHT_LENGTH + 1)
    run(sequential, request("no thought", num_thought_tokens=0))
    counts = sequential.stats().passes_per_token
    assert (counts.num_values, counts.total) == (2, THOUGHT_LENGTH + 2)


def test_a_long_prompt_adds_no_passes_per_token() -> None:
    toy = make_toy(num_thought_tokens=THOUGHT_LENGTH)
    engine = LLMEngine(toy.model, EngineConfig(speculation="off", max_rows=4, max_num_seqs=1))
    run(engine, request("long", 40))
    stats = engine.stats()
    assert stats.steps > 5 * (THOUGHT_LENGTH + 1)
    assert stats.passes_per_token.total == THOUGHT_LENGTH + 1


def test_histograms_agree_with_the_outputs() -> None:
    toy = make_toy(num_thought_tokens=THOUGHT_LENGTH)
    engine = LLMEngine(toy.model, EngineConfig())
    deltas = run(engine, request("a", n=2), request("b", 9), request("c", num_thought_tokens=0))
    outputs = [output for delta in deltas for output in delta.outputs]
    weights = [
        thought.mixing_weight
        for output in outputs
        for thought in output.thoughts
        if thought.thought_token_ids
    ]
    stats = engine.stats()
    assert stats.tokens == sum(len(output.token_ids) for output in outputs) == 20
    assert stats.thought_tokens == THOUGHT_LENGTH * len(weights) == THOUGHT_LENGTH * 15
    assert stats.mixing_weights.num_values == len(weights)
    assert stats.mixing_weights.total == pytest.approx(sum(weights))
    assert stats.passes_per_token.num_values == 4
    assert stats.step_rows.num_values == stats.step_seconds.num_values == stats.steps
    assert stats.step_rows.total == stats.rows
    assert (stats.num_lanes, stats.step_age_s) == (0, None)


def test_lanes_in_flight_are_counted_while_they_think(sequential: LLMEngine) -> None:
    sequential.add_request(sequential.admission.admit(request("a")))
    assert sequential.stats().num_lanes == 0
    sequential.step()
    assert sequential.stats().num_lanes == 1


def test_the_age_of_a_step_is_known_while_it_runs(sequential: LLMEngine) -> None:
    seen: list[EngineStats] = []
    runner = sequential._runner
    run_batch = runner.run

    def slow(batch: object) -> object:
        time.sleep(0.02)
        seen.append(sequential.stats())
        return run_batch(batch)  # type: ignore[arg-type]

    runner.run = slow  # type: ignore[method-assign, assignment]
    sequential.add_request(sequential.admission.admit(request("a")))
    sequential.step()
    age = seen[0].step_age_s
    assert age is not None
    assert age >= 0.02
    assert sequential.stats().step_age_s is None


def test_times_of_a_request_ascend(sequential: LLMEngine) -> None:
    before = time.monotonic()
    deltas = run(sequential, request("a"))
    after = time.monotonic()
    times = [delta.times for delta in deltas]
    for each in times:
        assert each is not None
        assert each.scheduled_s is not None
        assert each.first_token_s is not None
        ascending = [before, each.queued_s, each.scheduled_s, each.first_token_s, each.newest_s]
        assert sorted(ascending) == ascending
        assert each.newest_s <= after
    assert len({each.first_token_s for each in times if each}) == 1
    assert len({each.newest_s for each in times if each}) == len(times) == 5


def test_a_request_without_output_has_no_first_token(sequential: LLMEngine) -> None:
    (delta,) = run(sequential, request("a", max_tokens=0, prompt_logprobs=0))
    assert delta.times is not None
    assert delta.times.first_token_s is None
    assert sequential.stats().passes_per_token.num_values == 0
