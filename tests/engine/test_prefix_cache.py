"""Requests that share prefixes get the tokens that they would get alone, and compute them once."""

import math
from collections.abc import Iterable
from typing import Any

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.outputs import EngineStats, RequestOutput
from qstar_infer.sampling_params import SamplingParams
from tests.parity.toy import make_toy

PROMPT = list(range(10, 30))
"""Five blocks of 4 tokens, of which the first four can be reused: the last token is computed."""

PLAIN: dict[str, Any] = {"max_tokens": 1, "num_thought_tokens": 0}


def request(name: str, prompt: list[int] = PROMPT, **fields: Any) -> EngineRequest:
    settings: dict[str, Any] = {"max_tokens": 6, "seed": 1, "ignore_eos": True}
    own = {key: fields.pop(key) for key in ("cache_salt", "priority") if key in fields}
    return EngineRequest(
        request_id=name,
        prompt_token_ids=list(prompt),
        params=SamplingParams(**settings | fields),
        **own,
    )


def make_engine(model: QuietStarModel | None = None, **config: Any) -> LLMEngine:
    settings: dict[str, Any] = {"block_size": 4, "num_blocks": 64}
    return LLMEngine(
        make_toy().model if model is None else model, EngineConfig(**settings | config)
    )


def run(engine: LLMEngine, requests: Iterable[EngineRequest]) -> dict[str, RequestOutput]:
    """Whole outputs by name; a request that failed has none."""
    wholes = {}
    for one in requests:
        admitted = engine.admission.admit(one)
        wholes[one.request_id] = admitted.empty_output()
        engine.add_request(admitted)
    while engine.has_work:
        for news in engine.step():
            if isinstance(news, RequestFailure):
                del wholes[news.request_id]
            else:
                wholes[news.request_id].extend(news)
    engine.check_idle()
    return wholes


def tokens(output: RequestOutput) -> list[list[int]]:
    return [each.token_ids for each in output.outputs]


def work(engine: LLMEngine, requests: Iterable[EngineRequest]) -> tuple[EngineStats, EngineStats]:
    before = engine.stats()
    run(engine, requests)
    return before, engine.stats()


def num_rows(engine: LLMEngine, *requests: EngineRequest) -> int:
    before, after = work(engine, requests)
    return after.rows - before.rows


# --- what is found ------------------------------------------------------------------------------


def test_a_second_prompt_computes_only_its_last_block() -> None:
    engine = make_engine()
    first = run(engine, [request("a")])["a"]
    second = run(engine, [request("b")])["b"]
    assert (first.num_cached_tokens, second.num_cached_tokens) == (0, 16)
    assert tokens(first) == tokens(second)
    stats = engine.stats()
    assert (stats.prefix_cache_queries, stats.prefix_cache_hits) == (40, 16)
    assert stats.num_free_blocks == stats.num_blocks
    # 20 tokens of the prompt and 5 of the output are computed, so 6 blocks are full.
    assert stats.num_cached_blocks == 6


def test_the_rows_of_a_cached_prefix_are_not_computed() -> None:
    engine = make_engine()
    assert num_rows(engine, request("a", **PLAIN)) == 20
    assert num_rows(engine, request("b", **PLAIN)) == 4
    assert num_rows(engine, request("c", [*PROMPT, 1, 2], **PLAIN)) == 2
    assert num_rows(engine, request("d", [*PROMPT[:10], 1, 2], **PLAIN)) == 4
    assert num_rows(engine, request("e", PROMPT[:5], **PLAIN)) == 1
    assert num_rows(engine, request("f", PROMPT[:4], **PLAIN)) == 4


def test_the_text_of_an_answer_is_found_by_the_next_turn() -> None:
    engine = make_engine()
    answer = run(engine, [request("a", max_tokens=13)])["a"]
    turn = [*PROMPT, *tokens(answer)[0], 7]
    # The answer's last token is not computed: 32 of 33 tokens are.
    assert run(engine, [request("b", turn)])["b"].num_cached_tokens == 32
    alone = run(make_engine(prefix_caching=False), [request("b", turn)])["b"]
    assert tokens(run(engine, [request("c", turn)])["c"]) == tokens(alone)


def test_completions_of_one_request_compute_its_prompt_once() -> None:
    assert num_rows(make_engine(), request("a", n=4, **PLAIN)) == 20 + 3 * 4
    assert num_rows(make_engine(prefix_caching=False), request("a", n=4, **PLAIN)) == 80


def test_equal_prompts_that_arrive_together_are_computed_once() -> None:
    engine = make_engine(max_rows=6)
    pair = [request("a", **PLAIN), request("b", **PLAIN)]
    other = request("c", list(range(40, 60)), **PLAIN)
    assert num_rows(engine, *pair, other) == 20 + 4 + 20


def test_a_thought_leaves_nothing_in_the_cache() -> None:
    engine = make_engine(speculation=3)
    stats = work(engine, [request("a", PROMPT[:7], max_tokens=2)])[1]
    assert stats.thought_tokens == 2 * 3
    assert stats.num_cached_blocks == 2


def test_it_can_be_turned_off() -> None:
    engine = make_engine(prefix_caching=False)
    outputs = [run(engine, [request("a")])["a"] for _ in range(2)]
    assert [output.num_cached_tokens for output in outputs] == [0, 0]
    stats = engine.stats()
    assert (stats.prefix_cache_queries, stats.num_cached_blocks) == (0, 0)


# --- what is not shared -------------------------------------------------------------------------


def test_salts_share_nothing() -> None:
    engine = make_engine()
    cached = [
        run(engine, [request(str(number), cache_salt=salt)])[str(number)].num_cached_tokens
        for number, salt in enumerate([None, "a", "b", "a", None])
    ]
    assert cached == [0, 0, 0, 16, 16]


@pytest.mark.parametrize("salt", ["", "x" * 1025, 7])
def test_a_salt_out_of_range_is_refused(salt: Any) -> None:
    with pytest.raises(RequestError, match="cache_salt must be"):
        make_engine().admission.admit(request("a", cache_salt=salt))


@pytest.mark.parametrize("priority", [2**31, True, 0.5])
def test_a_priority_out_of_range_is_refused(priority: Any) -> None:
    with pytest.raises(RequestError, match="priority must be"):
        make_engine().admission.admit(request("a", priority=priority))


def test_a_scored_prompt_is_computed_and_fills_the_cache() -> None:
    engine = make_engine()
    alone = run(make_engine(), [request("a", prompt_logprobs=2)])["a"]
    run(engine, [request("before")])
    scored = run(engine, [request("a", prompt_logprobs=2)])["a"]
    assert scored.num_cached_tokens == 0
    assert scored.prompt_logprobs is not None
    assert alone.prompt_logprobs is not None
    for got, want in zip(scored.prompt_logprobs, alone.prompt_logprobs, strict=True):
        assert (got is None) == (want is None)
        if got is not None and want is not None:
            assert {key: each.logprob for key, each in got.items()} == pytest.approx(
                {key: each.logprob for key, each in want.items()}, abs=1e-4
            )
    fresh = make_engine()
    run(fresh, [request("a", prompt_logprobs=2)])
    assert run(fresh, [request("b")])["b"].num_cached_tokens == 16


def test_what_is_not_finite_is_not_kept() -> None:
    model = make_toy().model
    weight = model.get_parameter("backbone.model.embed_tokens.weight")
    weight.data[PROMPT[9]] = math.nan
    engine = make_engine(model)
    assert run(engine, [request("a")]) == {}
    stats = engine.stats()
    assert stats.num_cached_blocks == 2, "only the two blocks before the broken one"
    with_nan = PROMPT[:8]
    assert run(engine, [request("b", [*with_nan, 1])])["b"].num_cached_tokens == 8


# --- when blocks run out ------------------------------------------------------------------------


def test_a_preempted_sequence_finds_its_blocks_again() -> None:
    """Two streams that do not fit together; the second is continued, not recomputed."""
    requests = [
        request(name, [int(name)] * 8, max_tokens=24, seed=int(name), num_thought_tokens=1)
        for name in "12"
    ]
    wants = {one.request_id: tokens(run(make_engine(), [one])[one.request_id]) for one in requests}
    recomputed = {}
    for caching in (True, False):
        engine = make_engine(num_blocks=13, prefix_caching=caching)
        got = run(engine, requests)
        assert {name: tokens(output) for name, output in got.items()} == wants
        stats = engine.stats()
        assert stats.preemptions > 0
        recomputed[caching] = stats.recomputed
    assert recomputed[True] < recomputed[False]


def test_a_full_pool_forgets_the_oldest_text() -> None:
    engine = make_engine(num_blocks=16)
    for number in range(12):
        run(engine, [request(str(number), [number + 1] * 21)])
    stats = engine.stats()
    assert stats.num_free_blocks == 16
    newest = run(engine, [request("again", [12] * 21)])["again"]
    oldest = run(engine, [request("gone", [1] * 21)])["gone"]
    assert (newest.num_cached_tokens, oldest.num_cached_tokens) == (20, 0)
