"""Long random runs of the engine: no block, thread or file is lost, and no token differs."""

import gc
import random
import threading
from dataclasses import replace
from typing import Any

import psutil
import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import SamplingParams
from tests.parity.slow_loop import SlowLoop, derived_seed
from tests.parity.toy import EOS, Toy, make_toy

NUM_SCHEDULES = 2000
NUM_REQUESTS = 10_000
SHARED = list(range(40, 52))
Answers = dict[tuple[str, int], list[int]]


def draw_requests(draw: random.Random, count: int) -> list[EngineRequest]:
    """Short requests; most prompts begin like others, and thoughts and filters differ."""
    requests = []
    for number in range(count):
        shared = SHARED[: draw.choice([0, 4, 8, 12])]
        own = [draw.randrange(200) for _ in range(draw.randint(1, 6))]
        temperature = draw.choice([0.0, 0.8, 1.0])
        params = SamplingParams(
            n=draw.choice([1, 1, 1, 2]),
            max_tokens=draw.randint(1, 8),
            temperature=temperature,
            top_p=draw.choice([1.0, 0.9]) if temperature else 1.0,
            frequency_penalty=draw.choice([0.0, 0.0, 0.6]),
            num_thought_tokens=draw.choice([0, 1, 2, 4]),
            seed=number,
            prompt_logprobs=draw.choice([None, None, None, None, 0]),
        )
        requests.append(
            EngineRequest(request_id=f"r{number}", prompt_token_ids=shared + own, params=params)
        )
    return requests


def firm_answers(toy: Toy, requests: list[EngineRequest]) -> Answers:
    """The tokens by the slow loop, which has no cache, up to one that rounding may change."""
    loop = SlowLoop(toy.model, toy.stock)
    answers = {}
    for one in requests:
        assert one.params.seed is not None
        assert one.params.num_thought_tokens is not None
        for index in range(one.params.n):
            slow = loop.generate(
                one.prompt_token_ids,
                one.params,
                num_thought_tokens=one.params.num_thought_tokens,
                seed=derived_seed(one.params.seed, index),
                eos=EOS,
            )
            answers[one.request_id, index] = slow.token_ids[: slow.firm_tokens()]
    return answers


def draw_config(draw: random.Random) -> EngineConfig:
    block_size = draw.choice([1, 2, 4, 8])
    return EngineConfig(
        block_size=block_size,
        # From just enough for the largest request, 26 tokens and a thought, to enough for all.
        num_blocks=-(-26 // block_size) + -(-6 // block_size) + draw.choice([0, 0, 3, 20, 200]),
        speculation=draw.choice(["auto", "auto", "off", 1, 3]),
        max_drafts=draw.choice([4, 64]),
        max_rows=draw.choice([1, 7, 512]),
        max_prefill_rows=draw.choice([None, 1, 5]),
        max_num_seqs=draw.choice([1, 3, 16]),
        scoring_positions=draw.choice([1, 8]),
        prefix_caching=draw.random() < 0.9,
    )


def run_schedule(engine: LLMEngine, draw: random.Random, requests: list[EngineRequest]) -> Answers:
    """Requests that arrive and are aborted at random; what they got until then."""
    arriving = [
        replace(one, priority=draw.choice([0, 0, 1, -1]), cache_salt=draw.choice([None, None, "a"]))
        for one in requests
    ]
    got: Answers = {}
    open_ids: list[str] = []
    while arriving or engine.has_work:
        while arriving and draw.random() < 0.4:
            one = arriving.pop()
            engine.add_request(engine.admission.admit(one))
            open_ids.append(one.request_id)
        if open_ids and draw.random() < 0.04:
            engine.abort(open_ids.pop(draw.randrange(len(open_ids))))
        for news in engine.step():
            assert isinstance(news, RequestOutput)
            for part in news.outputs:
                got.setdefault((news.request_id, part.index), []).extend(part.token_ids)
            if news.finished:
                open_ids.remove(news.request_id)
    engine.check_idle()
    return got


@pytest.mark.slow
def test_random_schedules_lose_no_block_and_differ_in_no_token() -> None:
    draw = random.Random(0)
    toy = make_toy()
    requests = draw_requests(draw, 60)
    want = firm_answers(toy, requests)
    totals: dict[str, int] = dict.fromkeys(
        ("preemptions", "recomputed", "prefix_cache_hits", "rejected", "accepted"), 0
    )
    num_compared = 0
    for _ in range(NUM_SCHEDULES):
        engine = LLMEngine(toy.model, draw_config(draw))
        for key, tokens in run_schedule(engine, draw, draw.sample(requests, 4)).items():
            count = min(len(tokens), len(want[key]))
            assert tokens[:count] == want[key][:count]
            num_compared += count
        stats: Any = engine.stats()
        for name in totals:
            totals[name] += getattr(stats, name)
    assert num_compared > 10 * NUM_SCHEDULES
    assert min(totals.values()) > NUM_SCHEDULES // 10, f"too little happened: {totals}"


@pytest.mark.slow
def test_many_requests_leave_the_process_as_it_was() -> None:
    """10,000 requests, a part of which is aborted. The first 2,000 may warm caches up."""
    draw = random.Random(1)
    engine = LLMEngine(make_toy().model, EngineConfig(block_size=4, num_blocks=40))
    requests = [
        replace(one, params=replace(one.params, max_tokens=min(3, one.params.max_tokens or 1)))
        for one in draw_requests(draw, 500)
    ]
    process = psutil.Process()

    def state() -> tuple[int, int, int]:
        """Threads, open files and objects."""
        gc.collect()
        return threading.active_count(), process.num_fds(), len(gc.get_objects())

    for number in range(NUM_REQUESTS // len(requests)):
        run_schedule(engine, draw, requests)
        if number == 3:
            before, memory_before = state(), process.memory_info().rss
    threads, files, objects = state()
    assert (threads, files) == before[:2]
    assert objects < before[2] + 2000
    assert process.memory_info().rss < memory_before + 32 * 2**20
    stats = engine.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert stats.num_free_blocks == stats.num_blocks == 40
    assert stats.preemptions > 0
