"""Structured output through the whole engine: its form, its end, and what it does not change."""

import json
import re
from functools import lru_cache
from typing import Any

import pytest

from qstar_infer import LLM, NoTokenError, RequestError, SamplingParams
from qstar_infer.config import Speculation
from qstar_infer.outputs import CompletionOutput
from qstar_infer.structured_outputs import MAX_GRAMMAR_CHARS
from qstar_infer.thinking_rule import ThinkingRule

from ..parity.toy import EOS, make_toy

PROMPTS = [[10, 20, 30], [99], list(range(40, 57))]
SMALL: dict[str, Any] = {"num_blocks": 40, "block_size": 4, "max_num_seqs": 6}
"""A pool that is too small for all completions, so that some are preempted."""
DEPTHS: tuple[Speculation, ...] = (1, 3, "auto")
POINT = {
    "type": "object",
    "properties": {
        "x": {"type": "integer", "minimum": -9, "maximum": 9},
        "on": {"type": "boolean"},
    },
    "required": ["x", "on"],
    "additionalProperties": False,
}
FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "json": ({"json": POINT}, r"\{\s*\"x\"\s*:\s*-?[0-9]\s*,\s*\"on\"\s*:\s*(true|false)\s*\}"),
    "regex": ({"regex": "[a-f]{2,9}(-[0-9]é){1,3}"}, "[a-f]{2,9}(-[0-9]é){1,3}"),
    "choice": ({"choice": ("red", "reddish", "green 😀")}, "red|reddish|green 😀"),
    "gbnf": ({"grammar": 'root ::= "(" root ")" | [xy]+ ";"'}, r"\(*[xy]+;\)*"),
    "lark": ({"grammar": 'start: NUM ("+" NUM)*\nNUM: /[0-9]{1,2}/'}, r"[0-9]{1,2}(\+[0-9]{1,2})*"),
}
"""A form, and a regex that its whole texts match (of the brackets, their number is checked too)."""


@lru_cache
def model() -> Any:
    """Thinks at about half of its tokens."""
    return make_toy(thinking=ThinkingRule(where="gate")).model


@lru_cache
def llm() -> LLM:
    return LLM(model=model(), num_blocks=300)


def generate(**fields: Any) -> list[CompletionOutput]:
    params = SamplingParams(**{"max_tokens": 60, "seed": 3, "n": 3} | fields)
    return llm().generate([PROMPTS[0]], params)[0].outputs


def facts(llm: LLM, params: SamplingParams) -> list[tuple[Any, ...]]:
    """What must not depend on the depth of speculation or on other requests."""
    return [
        (out.text, out.token_ids, [t.thought_token_ids for t in out.thoughts], out.finish_reason)
        for each in llm.generate(PROMPTS, params)
        for out in each.outputs
    ]


@pytest.mark.parametrize(
    ("name", "temperature"),
    [
        *(pytest.param(name, 1.0, marks=[pytest.mark.slow] * (name == "json")) for name in FORMS),
        ("choice", 0.0),
        ("regex", 0.0),
    ],
)
def test_the_text_has_its_form_and_is_the_same_at_every_depth(
    name: str, temperature: float
) -> None:
    form, pattern = FORMS[name]
    params = SamplingParams(
        n=2, temperature=temperature, max_tokens=64, seed=5, structured_outputs=form
    )
    wanted = facts(LLM(model=model(), num_blocks=400, speculation="off"), params)
    texts = [text for text, _, _, reason in wanted if reason == "stop"]
    assert len(texts) >= 3
    for text in texts:
        assert re.fullmatch(pattern, text), text
        assert text.count("(") == text.count(")")
        if name == "json":
            assert set(json.loads(text)) == {"x", "on"}
    num_preempted = num_rejected = 0
    for speculation in DEPTHS:
        other = LLM(model=model(), speculation=speculation, **SMALL)
        assert facts(other, params) == wanted
        num_preempted += other.stats().preemptions
        num_rejected += other.stats().rejected
        other.close()
    if name == "json":  # the longest texts
        assert num_preempted > 0
        assert num_rejected > 0


def test_thoughts_have_no_form() -> None:
    outputs = generate(structured_outputs={"regex": "[ab]{9}"})
    thoughts = {id_ for out in outputs for t in out.thoughts for id_ in t.thought_token_ids}
    assert len(thoughts) > 10
    visible = {token_id for output in outputs for token_id in output.token_ids}
    assert len(visible) <= 2


def test_a_whole_text_ends_without_an_end_token() -> None:
    for output in generate(structured_outputs={"regex": "[ab]{4}"}, logprobs=0):
        assert (len(output.token_ids), output.finish_reason) == (4, "stop")
        assert EOS not in output.token_ids
        assert output.stop_reason is None
        assert output.logprobs is not None
        assert len(output.logprobs) == len(output.thoughts) == len(output.token_offsets) == 4


def test_a_text_that_could_go_on_ends_with_an_end_token() -> None:
    (output,) = generate(n=1, structured_outputs={"regex": "a+"}, logit_bias={EOS: 30.0})
    assert output.text == "a"
    assert output.token_ids[1:] == [EOS]
    assert output.finish_reason == "stop"


def test_an_end_token_that_is_ignored_never_comes() -> None:
    (output,) = generate(
        n=1, structured_outputs={"regex": "a+"}, logit_bias={EOS: 30.0}, ignore_eos=True
    )
    assert (output.text, output.finish_reason) == ("a" * 60, "length")


def test_a_length_limit_cuts_the_text() -> None:
    (output,) = generate(n=1, structured_outputs={"regex": "a{9}"}, max_tokens=8)
    assert (output.text, output.finish_reason) == ("a" * 8, "length")
    (output,) = generate(n=1, structured_outputs={"regex": "a{8}"}, max_tokens=8)
    assert (output.text, output.finish_reason) == ("a" * 8, "stop")


def test_a_stop_string_ends_the_text_before_it_is_whole() -> None:
    (output,) = generate(n=1, structured_outputs={"regex": "xyz[ab]{4}"}, stop="yz")
    assert (output.text, output.finish_reason, output.stop_reason) == ("x", "stop", "yz")


def test_a_held_back_beginning_of_a_stop_string_is_shown_when_the_text_is_whole() -> None:
    (output,) = generate(n=1, structured_outputs={"regex": "xy"}, stop="yz")
    assert (output.text, output.finish_reason, output.stop_reason) == ("xy", "stop", None)


def test_min_tokens_keeps_the_end_token_away_but_cannot_lengthen_a_whole_text() -> None:
    fields: dict[str, Any] = {"n": 1, "min_tokens": 5, "logit_bias": {EOS: 30.0}}
    (output,) = generate(structured_outputs={"regex": "a*"}, **fields)
    assert output.token_ids[5:] == [EOS]
    (output,) = generate(structured_outputs={"regex": "aa"}, **fields)
    assert (output.text, output.finish_reason) == ("aa", "stop")


def test_best_of_gives_whole_texts() -> None:
    outputs = generate(n=2, best_of=5, structured_outputs={"json": POINT}, max_tokens=120)
    assert [set(json.loads(output.text)) for output in outputs] == [{"x", "on"}] * 2


def test_prompt_scores_are_the_models_own() -> None:
    fields: dict[str, Any] = {"seed": 3, "max_tokens": 2, "prompt_logprobs": 3, "logprobs": 3}
    free, formed = (
        llm().generate([PROMPTS[2]], SamplingParams(structured_outputs=form, **fields))[0]
        for form in (None, {"regex": "[ab]+"})
    )
    assert formed.prompt_logprobs == free.prompt_logprobs
    assert formed.outputs[0].logprobs is not None
    assert free.outputs[0].logprobs is not None
    first, first_free = formed.outputs[0].logprobs[0], free.outputs[0].logprobs[0]
    common = first.keys() & first_free.keys()
    assert len(common) >= 3
    assert [first[each].logprob for each in common] == [first_free[each].logprob for each in common]


def test_other_rules_hold_too() -> None:
    a, b = llm().tokenizer("ab", add_special_tokens=False).input_ids
    fields: dict[str, Any] = {"structured_outputs": {"regex": "[abc]{5}"}}
    assert {out.text for out in generate(allowed_token_ids=(a,), **fields)} == {"aaaaa"}
    texts = {out.text for out in generate(bad_words=("aa", "c", "bb"), **fields)}
    assert texts <= {"ababa", "babab"}


def test_rules_that_leave_nothing_are_refused_or_end_the_request() -> None:
    a = llm().tokenizer("a", add_special_tokens=False).input_ids[0]
    with pytest.raises(RequestError, match="allowed_token_ids and structured_outputs"):
        generate(structured_outputs={"regex": "b"}, allowed_token_ids=(a,))
    with pytest.raises(NoTokenError, match="after 1 tokens"):
        generate(structured_outputs={"regex": "ab"}, allowed_token_ids=(a,))


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"regex": "("}, "unclosed group"),
        ({"regex": "(?=a)b"}, "look-around"),
        ({"regex": "()"}, "only the empty text"),
        ({"json": {"type": "objekt"}}, "Invalid type: objekt"),
        ({"json": {"not": {}}}, "not"),
        ({"json": False}, "no JSON satisfies"),
        ({"json": {"$ref": "file:///etc/passwd"}}, "not present"),
        ({"json": {"$ref": "http://127.0.0.1/x"}}, "not present"),
        ({"json": {"x-guidance": {"lenient": True}, "not": {}}}, "not"),
        (
            {"json": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}},
            "cannot be followed",
        ),
        ({"json": '{"allOf":[' * 300 + "{}" + "]}" * 300}, "cannot be followed"),
        ({"grammar": "root := x"}, "Expected"),
        ({"grammar": "start: foo"}, "foo"),
        ({"grammar": "root ::= " + "(" * 9000 + '"a"' + ")" * 9000}, "recursion"),
        ({"json": {"anyOf": [{"properties": {f"p{i}": {}}} for i in range(2500)]}}, "cannot be"),
        ({"regex": "x" * (MAX_GRAMMAR_CHARS + 1)}, "the most is"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_followed_is_refused_briefly(form: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=re.escape(why)) as caught:
        generate(structured_outputs=form)
    assert caught.value.param == "structured_outputs"
    assert len(str(caught.value)) < 1000


def test_a_grammar_that_becomes_too_complex_ends_its_request_and_no_other() -> None:
    with pytest.raises(NoTokenError, match="after 1 tokens .* too complex") as caught:
        generate(structured_outputs={"regex": "(?s).*" * 200})
    assert len(str(caught.value)) < 500
    assert generate(structured_outputs={"regex": "b{3}"})[0].text == "bbb"
