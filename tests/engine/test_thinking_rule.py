"""Rules about where to think: what is a rule, and which of them a model can follow."""

import json
from typing import Any

import numpy as np
import pytest

from qstar_infer import LLM, ThinkingRule
from qstar_infer.engine.protocol import AdmittedRequest, EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import EVERYWHERE, MAX_TOKENS, ThinkingPlaces, read_rule

from ..parity.toy import make_toy

GATE = ThinkingRule(where="gate")
EXCLAMATION = 0
"""The byte tokenizer's id of "!"."""


@pytest.mark.parametrize(
    ("text", "rule", "words"),
    [
        ('{"where": "everywhere"}', EVERYWHERE, "before each token"),
        ('{"where": "everywhere", "tokens": []}', EVERYWHERE, "before each token"),
        ('{"where": "gate"}', GATE, "where its gate says so"),
        (
            '{"where": "behind", "tokens": ["?", 7]}',
            ThinkingRule(where="behind", tokens=("?", 7)),
            "behind '?', 7",
        ),
        (
            '{"where": "behind", "tokens": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}',
            ThinkingRule(where="behind", tokens=tuple(range(10))),
            "behind 0, 1, 2, 3, 4, 5, 6, 7 and 2 more",
        ),
    ],
)
def test_a_rule_is_read_and_written_as_json(text: str, rule: ThinkingRule, words: str) -> None:
    assert read_rule(json.loads(text)) == rule
    assert read_rule(json.loads(json.dumps(rule.to_json()))) == rule
    assert rule.describe() == words


NO_RULES: list[tuple[Any, str]] = [
    ("gate", "must be an object such as .* not 'gate'"),
    (["gate"], "must be an object"),
    (True, "must be an object"),
    ({}, "lacks where, one of everywhere, behind, gate"),
    ({"tokens": ["?"]}, "lacks where"),
    ({"where": None}, "where must be one of everywhere, behind, gate, not None"),
    ({"where": ["gate"]}, "where must be one of"),
    ({"where": "Gate"}, "not 'Gate'"),
    ({"where": "gate", "token": 1, "a": 2}, "unknown keys, 'a, token'; only where and tokens"),
    ({"where": "gate", "tokens": ["?"]}, "only the rule \"behind\" has tokens, not 'gate'"),
    ({"where": "behind"}, "needs 1 to 1024 tokens, not 0"),
    ({"where": "behind", "tokens": []}, "needs 1 to 1024 tokens, not 0"),
    ({"where": "behind", "tokens": [1] * (MAX_TOKENS + 1)}, "1 to 1024 tokens, not 1025"),
    ({"where": "behind", "tokens": None}, "tokens must be a list, not None"),
    ({"where": "behind", "tokens": "?!"}, "tokens must be a list, not '\\?!'"),
    ({"where": "behind", "tokens": {"?": 1}}, "tokens must be a list"),
    ({"where": "behind", "tokens": b"?"}, "tokens must be a list"),
    ({"where": "behind", "tokens": [""]}, "a name or an id of the vocabulary, not ''"),
    ({"where": "behind", "tokens": [-1]}, "a name or an id of the vocabulary, not -1"),
    ({"where": "behind", "tokens": [True]}, "a name or an id of the vocabulary, not True"),
    ({"where": "behind", "tokens": [1.0]}, "a name or an id of the vocabulary, not 1.0"),
    ({"where": "behind", "tokens": [["?"]]}, "a name or an id of the vocabulary"),
]


@pytest.mark.parametrize(("value", "message"), NO_RULES)
def test_what_is_no_rule_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rule(value)
    with pytest.raises(RequestError, match=f"^thinking is no rule: .*{message}") as caught:
        SamplingParams(thinking=value)
    assert caught.value.param == "thinking"


@pytest.mark.parametrize(
    "value",
    [
        {"where": "x" * 10**6},
        {"where": "gate", "x" * 10**6: 1},
        {"where": "behind", "tokens": ["?", ["x" * 10**6]]},
        "x" * 10**6,
        {"where": "behind", "tokens": [-(10**4000)]},
    ],
    ids=["where", "key", "token", "text", "number"],
)
def test_a_message_repeats_little_of_a_wrong_value(value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(thinking=value)
    assert len(str(caught.value)) < 200


def test_params_accept_lists_and_any_kind_of_integer() -> None:
    given: dict[str, Any] = {"where": "behind", "tokens": [np.int64(7), "?"]}
    params = SamplingParams(thinking=given)
    assert params.thinking == ThinkingRule(where="behind", tokens=(7, "?"))
    assert isinstance(params.thinking, ThinkingRule)
    assert type(params.thinking.tokens[0]) is int
    assert SamplingParams().thinking is None


# --- which rules a model can follow -------------------------------------------------------------


@pytest.fixture(scope="module")
def gated() -> LLM:
    """A checkpoint with a gate, whose rule is the gate."""
    return LLM(model=make_toy(thinking=GATE).model)


@pytest.fixture(scope="module")
def ungated() -> LLM:
    """A checkpoint that thinks behind "!"."""
    return LLM(model=make_toy(thinking=ThinkingRule(where="behind", tokens=("!",))).model)


@pytest.fixture(scope="module")
def plain() -> LLM:
    model = make_toy().model
    return LLM(model=QuietStarModel(model.backbone, model.tokenizer))


def admit(llm: LLM, **fields: Any) -> AdmittedRequest:
    request = EngineRequest(
        request_id="r", prompt_token_ids=[1, 2], params=SamplingParams(**fields)
    )
    return llm._engine.admission.admit(request)


def test_a_request_follows_the_checkpoint_or_its_own_rule(gated: LLM, ungated: LLM) -> None:
    assert admit(gated).places == ThinkingPlaces(asks_gate=True)
    assert admit(ungated).places == ThinkingPlaces(behind_ids=frozenset({EXCLAMATION}))
    for llm in (gated, ungated):
        assert admit(llm, thinking={"where": "everywhere"}).places == ThinkingPlaces()
        behind = admit(llm, thinking={"where": "behind", "tokens": ["!", 259, "<eos>"]}).places
        assert behind == ThinkingPlaces(behind_ids=frozenset({EXCLAMATION, 259, 256}))
        assert [behind.may_think_at(each) for each in (EXCLAMATION, 1, 256)] == [True, False, True]
    assert admit(gated, thinking=GATE).places == ThinkingPlaces(asks_gate=True)


def test_a_plain_model_has_no_rule(plain: LLM) -> None:
    assert admit(plain).places == ThinkingPlaces()
    assert plain.model_info.thinking == EVERYWHERE


@pytest.mark.parametrize(
    ("llm", "rule", "message"),
    [
        ("ungated", {"where": "gate"}, "the rule is a gate, but the checkpoint has none"),
        ("gated", {"where": "behind", "tokens": ["!", "!!"]}, "has no token '!!'"),
        ("gated", {"where": "behind", "tokens": [260]}, "has no token 260"),
        ("gated", {"where": "behind", "tokens": [10**300]}, "has no token a number of 997 bits"),
        ("plain", {"where": "everywhere"}, "this model cannot think; leave it out"),
        ("plain", {"where": "gate"}, "this model cannot think; leave it out"),
    ],
)
def test_a_rule_that_the_model_cannot_follow_is_refused(
    llm: str, rule: dict[str, Any], message: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(RequestError, match=f"^thinking .*{message}") as caught:
        admit(request.getfixturevalue(llm), thinking=rule)
    assert caught.value.param == "thinking"


def test_model_info_says_where_a_model_thinks(gated: LLM, ungated: LLM) -> None:
    assert (gated.model_info.thinking, gated.model_info.has_gate) == (GATE, True)
    assert ungated.model_info.has_gate is False
    assert "thinks 3 tokens where its gate says so;" in gated.model_info.description
    assert "thinks 3 tokens behind '!';" in ungated.model_info.description
