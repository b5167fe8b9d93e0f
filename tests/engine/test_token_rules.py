"""`allowed_token_ids`, `bad_words` and `max_completion_tokens`, through the whole engine."""

from typing import Any

import pytest

from qstar_infer import LLM, NoTokenError, RequestError, SamplingParams
from qstar_infer.config import Speculation
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.thinking_rule import ThinkingRule

from ..parity.toy import END_ID, EOS, START_ID, VOCAB_SIZE, make_toy
from .run_requests import run_requests

PROMPT = [10, 20, 30]


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(model=make_toy().model, num_blocks=200)


def ids_of(llm: LLM, text: str) -> list[int]:
    ids: list[int] = llm.tokenizer(text, add_special_tokens=False).input_ids
    return ids


def generate(llm: LLM, **fields: Any) -> list[list[int]]:
    params = SamplingParams(**{"max_tokens": 40, "seed": 3, "n": 4, "ignore_eos": True} | fields)
    (output,) = llm.generate([PROMPT], params)
    return [each.token_ids for each in output.outputs]


def test_only_allowed_tokens_come_whatever_the_bias(llm: LLM) -> None:
    letters = ids_of(llm, "abcxyz")
    outputs = generate(
        llm, allowed_token_ids=[*letters, START_ID, END_ID], logit_bias={1: 100, START_ID: 100}
    )
    assert {token_id for ids in outputs for token_id in ids} == set(letters)


def test_end_of_sequence_comes_only_if_it_is_allowed(llm: LLM) -> None:
    letters = ids_of(llm, "ab")
    free = {"ignore_eos": False, "logit_bias": {EOS: 100}}
    assert all(len(ids) == 40 for ids in generate(llm, allowed_token_ids=letters, **free))
    assert generate(llm, allowed_token_ids=[*letters, EOS], **free) == [[EOS]] * 4


@pytest.mark.parametrize("word", ["abc", " abc", "  abc"])
def test_a_bad_word_never_comes_but_its_parts_do(llm: LLM, word: str) -> None:
    fields: dict[str, Any] = {"allowed_token_ids": ids_of(llm, "abc"), "max_tokens": 100}
    texts = ["".join(map(chr, ids)) for ids in generate(llm, **fields)]
    bad = "".join(map(chr, ids_of(llm, "abc")))
    assert any(bad in text for text in texts)
    texts = ["".join(map(chr, ids)) for ids in generate(llm, bad_words=[word], **fields)]
    assert not any(bad in text for text in texts)
    assert any(bad[:2] in text for text in texts)


def test_the_prompt_is_no_part_of_a_bad_word(llm: LLM) -> None:
    """As in vLLM: only the output is matched."""
    a, b = ids_of(llm, "ab")
    params = SamplingParams(
        max_tokens=1,
        temperature=0.0,
        bad_words=("ab",),
        allowed_token_ids=(a, b),
        logit_bias={b: 99},
    )
    (output,) = llm.generate([[a]], params)
    assert output.outputs[0].token_ids == [b]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"allowed_token_ids": [VOCAB_SIZE]}, "allowed_token_ids"),
        ({"allowed_token_ids": [START_ID, END_ID]}, "allowed_token_ids"),
        ({"allowed_token_ids": [64], "bad_words": ["a"]}, "allowed_token_ids"),
        ({"allowed_token_ids": [EOS], "min_tokens": 1, "ignore_eos": False}, "min_tokens"),
        ({"allowed_token_ids": [64], "min_tokens": 1, "stop_token_ids": [64]}, "min_tokens"),
        ({"max_completion_tokens": 8, "min_tokens": 3}, "max_completion_tokens"),
    ],
)
def test_what_can_never_be_followed_is_refused(llm: LLM, fields: Any, param: str) -> None:
    assert ids_of(llm, "a") == [64]
    with pytest.raises(RequestError) as caught:
        generate(llm, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize("speculation", ["off", 4])
def test_a_request_that_comes_to_a_dead_end_fails_alone(speculation: Speculation) -> None:
    """After "a" neither it nor anything else may come."""
    dead = SamplingParams(allowed_token_ids=(64,), bad_words=("aa",), max_tokens=9, seed=1)
    free = SamplingParams(max_tokens=9, seed=1, ignore_eos=True)
    requests = [
        EngineRequest(request_id=name, prompt_token_ids=PROMPT, params=params)
        for name, params in (("dead", dead), ("free", free))
    ]
    model = make_toy().model
    together = run_requests(model, requests, num_blocks=100, speculation=speculation)
    assert together.texts["dead", 0] == [64]
    error = together.errors["dead"]
    assert isinstance(error, NoTokenError)
    assert "after 1 tokens no other may come" in str(error)
    alone = run_requests(model, requests[1:], num_blocks=100, speculation=speculation)
    assert together.finished == alone.finished


@pytest.mark.parametrize("rule", ["everywhere", "gate"])
@pytest.mark.parametrize("limit", range(0, 30, 3))
def test_visible_and_thought_tokens_never_exceed_their_limit(rule: Any, limit: int) -> None:
    llm = LLM(model=make_toy(thinking=ThinkingRule(where=rule)).model, num_blocks=100)
    fields: dict[str, Any] = {"max_tokens": 20, "seed": 5, "ignore_eos": True}
    (whole,) = llm.generate([PROMPT], SamplingParams(**fields))[0].outputs
    (got,) = llm.generate([PROMPT], SamplingParams(max_completion_tokens=limit, **fields))[
        0
    ].outputs
    costs = [1 + len(thought.thought_token_ids) for thought in whole.thoughts]
    fitting = [count for count in range(21) if sum(costs[:count]) <= limit]
    assert got.token_ids == whole.token_ids[: max(fitting)]
    assert got.num_thought_tokens + len(got.token_ids) == sum(costs[: max(fitting)])
    assert got.finish_reason == "length"
    assert len(got.thoughts) == len(got.token_ids)
