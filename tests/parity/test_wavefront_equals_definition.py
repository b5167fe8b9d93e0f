"""For every mix of requests, tokens and thoughts equal those of the slow loop.

Each case draws a mix of requests (lengths, seeds, completions, sampling settings, stop conditions,
thought lengths), an engine (speculation depth, block size, row budget, pool, often too small for
all), and a course of events (late arrivals, aborts), and compares token by token with the
definition.
"""

import random
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.outputs import CompletionOutput, EngineStats, Logprob, RequestOutput
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

from ..tolerances import TOY_LOGPROBS, TOY_MIXING_WEIGHT
from .slow_loop import SlowLoop, SlowOutput, derived_seed
from .toy import ARCHITECTURES, EOS, Toy, make_toy

A, B = 64, 65
"""Token ids of the byte tokenizer with a high bias, so that stop strings of two letters occur."""
LETTERS = tuple(string.ascii_lowercase)
RULES = (
    None,  # the checkpoint's, a gate
    EVERYWHERE,
    EVERYWHERE,
    ThinkingRule(where="behind", tokens=tuple(range(0, 256, 3))),
)
PromptScores = list[dict[int, Logprob] | None]
NUM_FAST, NUM_SEEDS = 4, 16
CASES = [
    pytest.param(name, seed, marks=[pytest.mark.slow] if seed >= NUM_FAST else [])
    for seed in range(NUM_SEEDS)
    for name in ARCHITECTURES
]


@lru_cache
def toy_of(architecture: str) -> Toy:
    return make_toy(architecture, thinking=ThinkingRule(where="gate"))


def draw_params(draw: random.Random) -> SamplingParams:
    temperature = draw.choice([0.0, 0.0, 0.7, 1.0, 1.5])
    return SamplingParams(
        n=draw.choice([1, 1, 1, 2, 3]),
        temperature=temperature,
        seed=draw.randrange(-(2**63), 2**63),
        max_tokens=draw.randint(1, 14),
        min_tokens=draw.choice([0, 0, 1]),
        top_k=draw.choice([0, 0, 5, 40]),
        top_p=draw.choice([1.0, 1.0, 0.9, 0.5]),
        min_p=draw.choice([0.0, 0.0, 0.05]),
        repetition_penalty=draw.choice([1.0, 1.0, 1.3]),
        presence_penalty=draw.choice([0.0, 0.5]),
        frequency_penalty=draw.choice([0.0, -0.3, 0.8]),
        max_completion_tokens=draw.choice([None, None, None, draw.randint(7, 40)]),
        logit_bias=draw.choice([None, {EOS: 3.0, 7: -2.0}, {A: 9.0, B: 9.0}]),
        **draw_constraint(draw),
        stop=draw.choice([(), (), LETTERS, ("ab", "bba", "aaa")]),
        stop_token_ids=draw.choice([(), (), tuple(range(0, 256, 9))]),
        include_stop_str_in_output=draw.random() < 0.3,
        logprobs=draw.choice([None, None, 0, 3]),
        ignore_eos=draw.random() < 0.3,
        num_thought_tokens=draw.choice([None, 0, 1, 2, 5]),
        thought_temperature=draw.choice([None, None, 0.0, 0.8]),
        thinking=draw.choice(RULES),
        think_threshold=draw.choice([None, None, None, 0.2]),
        prompt_logprobs=draw.choice([None, None, 0]),
    )


def draw_constraint(draw: random.Random) -> dict[str, Any]:
    return draw.choice(
        [
            {},
            {},
            {"bad_words": ("b", "aa", "!")},
            {"allowed_token_ids": tuple(range(60, 90)), "bad_words": ("aab", " abb")},
            {"allowed_token_ids": (A, B, EOS), "bad_words": ("aab", " abb")},
            {"structured_outputs": {"choice": draw_choices(draw)}},
            {"structured_outputs": {"choice": draw_choices(draw)}},
        ]
    )


def draw_choices(draw: random.Random) -> list[str]:
    """Texts that often begin alike; some are the beginning of others."""
    return ["".join(draw.choices("abé", k=draw.randint(1, 9))) for _ in range(draw.randint(2, 12))]


def draw_config(draw: random.Random) -> EngineConfig:
    block_size = draw.choice([2, 4, 16])

    def blocks(num_slots: int) -> int:
        return -(-num_slots // block_size)

    return EngineConfig(
        speculation=draw.choice(["auto", "auto", "off", 1, 2, 4, 9]),
        block_size=block_size,
        # From just enough blocks for the largest request to enough for all.
        num_blocks=blocks(24 + 14) + blocks(5 + 2) + draw.choice([0, 0, 4, 60]),
        max_rows=draw.choice([1, 7, 512]),
        max_num_seqs=draw.choice([2, 8]),
        max_drafts=draw.choice([8, 64]),
        max_prefill_rows=draw.choice([None, 2]),
    )


@dataclass(frozen=True)
class Mix:
    """The engine's outputs for a mix of requests."""

    requests: dict[str, EngineRequest]
    aborted: set[str]
    got: dict[str, list[CompletionOutput]]
    """The completions of each request, ordered by index."""
    scores: dict[str, PromptScores]
    stats: EngineStats


def draw_prompt(draw: random.Random) -> list[int]:
    """Often a prompt that others begin with too."""
    prompt = [draw.randrange(256) for _ in range(draw.randint(1, 24))]
    num_shared = draw.choice([0, min(17, len(prompt) - 1)])
    return [*range(60, 60 + num_shared), *prompt[num_shared:]]


def run_mix(toy: Toy, draw: random.Random) -> Mix:
    engine = LLMEngine(toy.model, draw_config(draw))
    requests = {
        f"r{i}": EngineRequest(
            request_id=f"r{i}",
            prompt_token_ids=draw_prompt(draw),
            params=draw_params(draw),
        )
        for i in range(draw.randint(1, 5))
    }
    arrivals = {name: draw.choice([0, 0, 3, 11]) for name in requests}
    aborts = {name: draw.randint(1, 20) for name in requests if draw.random() < 0.2}
    got = {
        name: [CompletionOutput(index=index) for index in range(request.params.n)]
        for name, request in requests.items()
    }
    scores: dict[str, PromptScores] = {}
    step = 0
    while arrivals or engine.has_work:
        for name in [name for name, at in arrivals.items() if at <= step]:
            engine.add_request(engine.admission.admit(requests[name]))
            del arrivals[name]
        for name in [name for name, at in aborts.items() if at == step]:
            engine.abort(name)
            arrivals.pop(name, None)
        for delta in engine.step():
            assert isinstance(delta, RequestOutput)
            for part in delta.outputs:
                got[delta.request_id][part.index].extend(part)
            if delta.prompt_logprobs is not None:
                scores[delta.request_id] = delta.prompt_logprobs
        step += 1
        assert step < 5000, "the engine does not come to an end"
    engine.check_idle()
    return Mix(requests, set(aborts), got, scores, engine.stats())


def wanted(toy: Toy, request: EngineRequest, index: int) -> SlowOutput:
    params = request.params
    length = params.num_thought_tokens
    assert params.seed is not None
    return SlowLoop(toy.model, toy.stock).generate(
        request.prompt_token_ids,
        params,
        num_thought_tokens=toy.model.num_thought_tokens if length is None else length,
        seed=derived_seed(params.seed, index),
        eos=EOS,
    )


def compare(got: CompletionOutput, want: SlowOutput, *, was_aborted: bool) -> None:
    """Compare up to the first token that rounding may change, after which the texts may differ."""
    is_whole = want.num_firm is None and (not was_aborted or got.finish_reason is not None)
    if is_whole:
        assert len(got.token_ids) == len(want.token_ids)
        assert got.finish_reason is not None
        assert (got.text, got.stop_reason) == (want.text, want.stop_reason)
    count = min(len(got.token_ids), want.firm_tokens())
    assert got.token_ids[:count] == want.token_ids[:count]
    assert [t.thought_token_ids for t in got.thoughts[:count]] == want.thoughts[:count]
    for thought, weight, logprob, base_logprob in zip(
        got.thoughts[:count],
        want.mixing_weights,
        want.logprobs,
        want.base_logprobs,
        strict=False,
    ):
        assert thought.mixing_weight == pytest.approx(weight, abs=TOY_MIXING_WEIGHT)
        assert thought.logprob == pytest.approx(logprob, abs=TOY_LOGPROBS)
        assert thought.base_logprob == pytest.approx(base_logprob, abs=TOY_LOGPROBS)
    for entry, distribution in zip((got.logprobs or [])[:count], want.distributions, strict=False):
        for token_id, logprob_of in entry.items():
            assert logprob_of.logprob == pytest.approx(distribution[token_id], abs=TOY_LOGPROBS)


def compare_top_logprobs(got: CompletionOutput, want: SlowOutput, *, num_top: int) -> None:
    """The chosen token is first, then the most likely ones; rounding may change their order."""
    assert got.logprobs is not None
    assert len(got.logprobs) == len(got.token_ids)
    count = min(len(got.token_ids), want.firm_tokens())
    for i, (token_id, entry) in enumerate(zip(got.token_ids[:count], got.logprobs, strict=False)):
        assert next(iter(entry)) == token_id
        assert num_top <= len(entry) <= num_top + 1 or (num_top, len(entry)) == (0, 1)
        likeliest = sorted(want.distributions[i])[::-1][:num_top]
        best = sorted((each.logprob for each in entry.values()), reverse=True)[:num_top]
        assert best == pytest.approx(likeliest, abs=TOY_LOGPROBS)


def compare_scores(got: PromptScores, prompt: list[int], want: SlowOutput) -> None:
    assert got[0] is None
    for token_id, entry, logprob in zip(prompt[1:], got[1:], want.prompt_logprobs, strict=True):
        assert entry is not None
        if logprob is not None:
            assert entry[token_id].logprob == pytest.approx(logprob, abs=TOY_LOGPROBS)


@pytest.mark.parametrize(("architecture", "seed"), CASES)
def test_every_mix_gives_the_tokens_and_thoughts_of_the_definition(
    architecture: str, seed: int
) -> None:
    toy = toy_of(architecture)
    mix = run_mix(toy, random.Random(f"{architecture} {seed}"))
    parted: set[tuple[str, ...]] = set()
    num_outputs = 0
    for name, request in mix.requests.items():
        for got in mix.got[name]:
            want = wanted(toy, request, got.index)
            compare(got, want, was_aborted=name in mix.aborted)
            if request.params.logprobs is not None and got.token_ids:
                compare_top_logprobs(got, want, num_top=request.params.logprobs)
            if got.index == 0 and name in mix.scores:
                compare_scores(mix.scores[name], request.prompt_token_ids, want)
            if want.num_firm is not None:  # the same for greedy completions of one request
                parted.add((name, str(want.token_ids)))
            num_outputs += 1
    # About one decision in 1,000 is a near tie, which ends the comparison of an output. An output
    # has up to 14 tokens, with six decisions each.
    assert len(parted) <= 1 + num_outputs / 4


def test_the_mixes_contain_rejections_preemptions_and_aborts() -> None:
    """Otherwise the test above would prove little."""
    toy = toy_of("llama")
    mixes = [run_mix(toy, random.Random(f"llama {seed}")) for seed in range(NUM_SEEDS)]
    stats = [mix.stats for mix in mixes]
    assert sum(s.rejected for s in stats) > 20
    assert sum(s.accepted for s in stats) > 20
    assert sum(s.preemptions for s in stats) > 5
    assert sum(s.prefix_cache_hits for s in stats) > 20
    outputs = [output for mix in mixes for each in mix.got.values() for output in each]
    assert sum(isinstance(output.stop_reason, str) for output in outputs) > 3
    assert sum(isinstance(output.stop_reason, int) for output in outputs) > 1
    assert sum(output.index > 0 and len(output.token_ids) > 0 for output in outputs) > 10
    assert sum(bool(mix.scores) for mix in mixes) > 3
    params = [request.params for mix in mixes for request in mix.requests.values()]
    assert sum(each.allowed_token_ids is not None for each in params) > 3
    assert sum(bool(each.bad_words) for each in params) > 3
    assert sum(each.max_completion_tokens is not None for each in params) > 3
    assert sum(each.structured_outputs is not None for each in params) > 3
