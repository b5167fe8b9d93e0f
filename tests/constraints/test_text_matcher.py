"""What may come depends on the text alone, however the matcher got there."""

import random
from typing import Any

import pytest

from qstar_infer.constraints import text_matcher
from qstar_infer.constraints.text_matcher import MaskBudget

from ..parity.toy import EOS
from .matchers import compiled, ids_of, next_texts, start, tokens_in

DIGITS = set("0123456789")
FORMS: list[dict[str, Any]] = [
    {"regex": "(ab|a)*c?"},
    {"regex": "[a-c]{2,5}(x|yy)?"},
    {"choice": ("yes", "yesterday", "no", "né")},
    {"json_object": True},
    {"json": {"type": "array", "items": {"enum": [1, "é", None]}, "maxItems": 3}},
    {"json": {"type": "integer", "minimum": -20, "maximum": 300}},
    {"grammar": 'root ::= "(" root ")" | "x"'},
    {"grammar": "start: /[0-9]+/ (OP /[0-9]+/)*\nOP: /[+*]/"},
]


def test_a_choice_allows_the_next_letters_of_the_choices_left() -> None:
    matcher = start(choice=("yes", "yesterday", "no"))
    assert next_texts(matcher, "") == {"y", "n"}
    assert next_texts(matcher, "ye") == {"s"}
    assert next_texts(matcher, "yes") == {"t", "<eos>"}
    assert not matcher.is_complete(ids_of("yes"))
    assert matcher.is_complete(ids_of("no"))
    assert matcher.is_complete(ids_of("yesterday"))


def test_the_end_comes_only_where_the_text_may_end() -> None:
    matcher = start(regex="a*")
    assert next_texts(matcher, "") == next_texts(matcher, "aaa") == {"a", "<eos>"}
    assert tokens_in(start(regex="a*", eos=frozenset()).allowed_after([])) == set(ids_of("a"))
    assert EOS not in tokens_in(start(regex="a+").allowed_after([]))


def test_an_integer_within_its_range() -> None:
    matcher = start(json={"type": "integer", "minimum": 5, "maximum": 120})
    assert next_texts(matcher, "") == DIGITS - {"0"}
    assert next_texts(matcher, "12") == {"0", "<eos>"}
    assert matcher.is_complete(ids_of("13"))
    assert matcher.is_complete(ids_of("120"))


def test_a_text_that_breaks_the_grammar_has_no_mask_and_does_no_harm() -> None:
    """A wrong guess may; what comes after it is dropped."""
    matcher = start(choice=("yes", "no"))
    assert matcher.allowed_after(ids_of("yo")) is None
    assert not matcher.is_complete(ids_of("yo"))
    assert next_texts(matcher, "y") == {"e"}
    assert matcher.allowed_after([*ids_of("no"), EOS]) is None


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_any_way_back_and_forth_gives_the_mask_of_a_fresh_matcher(
    form: dict[str, Any], seed: int
) -> None:
    draw = random.Random(seed)
    wandering = start(**form)
    text: list[int] = []
    for _ in range(60):
        move = draw.random()
        if move < 0.25 and text:  # a draft was wrong
            del text[draw.randrange(len(text)) :]
        fresh = start(**form)
        mask = fresh.allowed_after(text)
        assert wandering.allowed_after(text) == mask
        assert wandering.is_complete(text) == fresh.is_complete(text)
        if move < 0.5 and text:  # an older lane ends
            shorter = text[: draw.randrange(len(text))]
            assert wandering.allowed_after(shorter) == start(**form).allowed_after(shorter)
        if mask is None or draw.random() < 0.1:  # complete; or a guess, mostly a wrong one
            guess = [*text, draw.randrange(256), draw.randrange(256)]
            assert wandering.allowed_after(guess) == start(**form).allowed_after(guess)
            text = text[: draw.randint(0, len(text))]
            continue
        text.append(draw.choice(sorted(tokens_in(mask) - {EOS}) or [EOS]))
        if text[-1] == EOS:
            text.pop()


def test_only_the_newest_masks_are_kept() -> None:
    matcher = start(regex="[ab]*")
    text = ids_of("ab" * 400)
    for end in range(len(text)):
        matcher.allowed_after(text[:end])
    assert len(matcher._masks) <= 256
    assert next_texts(matcher, "abab") == {"a", "b", "<eos>"}


def test_a_matcher_whose_shared_memory_is_full_starts_again() -> None:
    """Copies share what they learn, and a limit of it; others must not end a text by that."""
    grammar = compiled(regex="[ab]{1,30}c")
    matcher = grammar.start(frozenset({EOS}), MaskBudget())
    wanted = start(regex="[ab]{1,30}c").allowed_after(ids_of("ab"))
    matcher.allowed_after(ids_of("a"))
    matcher._matcher.consume_token(255)  # an error for ever
    assert matcher._matcher.is_error()
    assert matcher.allowed_after(ids_of("ab")) == wanted
    assert matcher.error is None


def test_a_grammar_that_takes_too_long_ends_its_request_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grammar = compiled(regex="[ab]*")
    monkeypatch.setattr(text_matcher, "BUDGET_S", -1.0)
    budget = MaskBudget()
    one, two = (grammar.start(frozenset({EOS}), budget) for _ in range(2))
    for matcher in (one, two):
        assert tokens_in(matcher.allowed_after([])) == set()
        assert "too complex" in str(matcher.error)
        assert not matcher.is_complete([])
