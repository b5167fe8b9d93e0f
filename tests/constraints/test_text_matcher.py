"""What may come depends on the text alone, however the matcher got there."""

import random
import re
from typing import Any

import pytest

from qstar_infer.constraints import text_matcher
from qstar_infer.constraints.compiler import GrammarCompiler
from qstar_infer.constraints.text_matcher import MaskBudget
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_infer.text.token_text import TokenText

from ..parity.toy import EOS
from ..text.tokenizer_kinds import tokenizer_of
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


@pytest.mark.parametrize("seed", range(6))
def test_a_draft_that_leads_to_a_dead_end_does_no_harm(seed: int) -> None:
    """A vocabulary without single bytes has no tokens for some texts."""
    tokenizer = tokenizer_of("clip")
    compiler = GrammarCompiler(TokenText(tokenizer), vocab_size=len(tokenizer))
    grammar = compiler.compile(StructuredOutputs(regex="[a-zé ]{2,12}(!|日本語)"))
    draw = random.Random(seed)
    wandering = grammar.start(frozenset(), MaskBudget())
    text: list[int] = []
    num_dead = 0
    for _ in range(60):
        fresh = grammar.start(frozenset(), MaskBudget())
        mask = fresh.allowed_after(text)
        assert wandering.allowed_after(text) == mask
        assert wandering.error_after(text) == fresh.error_after(text)
        allowed = [] if mask is None else sorted(tokens_in(mask))
        if not allowed and mask is not None:
            num_dead += 1
            assert "no tokens for" in str(fresh.error_after(text))
        if allowed and draw.random() < 0.8:
            text.append(draw.choice(allowed))
        elif text:
            del text[draw.randrange(len(text)) :]
    assert num_dead > 0


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
    assert matcher.error_after(ids_of("ab")) is None


def test_a_grammar_that_takes_too_long_ends_its_request_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grammar = compiled(regex="[ab]*")
    monkeypatch.setattr(text_matcher, "BUDGET_S", -1.0)
    budget = MaskBudget()
    one, two = (grammar.start(frozenset({EOS}), budget) for _ in range(2))
    for matcher in (one, two):
        assert tokens_in(matcher.allowed_after([])) == set()
        assert "too complex" in str(matcher.error_after([]))
        assert not matcher.is_complete([])


@pytest.mark.parametrize(
    "text",
    [
        "a/b",
        'say "hi"',
        "back\\slash",
        "line\nbreak\ttab",
        "né😀",
        "\x01\x7f",
        "/",
        "%json {}",
        "#x",
    ],
)
@pytest.mark.parametrize("kind", ["choice", "regex"])
def test_any_text_can_be_a_choice_or_a_part_of_a_regex(kind: str, text: str) -> None:
    form: dict[str, Any] = (
        {"choice": (text, "x")} if kind == "choice" else {"regex": re.escape(text)}
    )
    matcher = start(**form)
    ids = ids_of(text)
    for end, token_id in enumerate(ids):
        assert token_id in tokens_in(matcher.allowed_after(ids[:end]))
    assert matcher.is_complete(ids)


@pytest.mark.parametrize("kind", ["llama2", "gpt2-prefix-space", "bert-cased"])
def test_what_can_follow_in_one_way_only_may_be_cut_into_any_tokens(kind: str) -> None:
    """Not only into those of the tokenizer, which may put a space before a text."""
    tokenizer = tokenizer_of(kind)
    compiler = GrammarCompiler(TokenText(tokenizer), vocab_size=len(tokenizer))
    raw = TokenText(tokenizer).token_bytes(len(tokenizer))
    fitting = {each for each, part in enumerate(raw) if part and b"the cat".startswith(part)}
    assert fitting
    forms: list[dict[str, Any]] = [
        {"regex": "the cat"},
        {"choice": ("the cat",)},
        {"grammar": 'start: "the cat"\n%llguidance {"no_forcing": false}'},
        {"grammar": 'root ::= "the cat"'},
    ]
    for form in forms:
        grammar = compiler.compile(StructuredOutputs(**form))
        matcher = grammar.start(frozenset(), MaskBudget())
        assert tokens_in(matcher.allowed_after([])) == fitting
