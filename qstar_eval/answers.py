"""Answers in what a model wrote. Knows no model."""

import re
from collections.abc import Sequence

from qstar_eval.numerals import numbers_in
from qstar_eval.questions import LETTERS, Question

_SMALL_LETTERS = LETTERS.lower()
_CAPITAL = rf"""
    (?!A\ (?!(?:is|because)\b)[a-z])   # "A bank ..." is an article; "A is right" is not
    (?![{LETTERS}]\.\ [a-z])            # "E. coli" is a name; in "B. bank" the choice is found
    [{LETTERS}](?![\w'])
"""
_SMALL = rf"[{_SMALL_LETTERS}](?=[).,:;*_]|\ *$)(?!\.\w)"  # "b" and "b)"; not "a bank", "a.m."
_FIRST = rf"[\W_]*(?:{_CAPITAL}|{_SMALL})"
_FLAGS = re.VERBOSE | re.MULTILINE
# A match of each of these ends with the letter.
_STATED = re.compile(rf"(?i:\banswer(?:\ is\b|:)){_FIRST}", _FLAGS)
_MARKED = re.compile(rf"\A{_FIRST} | (?<=\()[{LETTERS}{_SMALL_LETTERS}](?=\))", _FLAGS)
_BARE = re.compile(rf"(?<![\w']){_CAPITAL}", _FLAGS)


def letter_in(text: str, choices: Sequence[str]) -> str | None:
    """The answer of a text, as a reader would find it.

    That is its first letter that stands alone, or the first choice written out before it. A letter
    that begins the text or is in parentheses counts before one within it, which may be that of a
    vitamin; where "the answer is B", nothing before it counts. A choice that begins another
    (`store`, `store room`) loses to the longer one.
    """
    stated = _STATED.search(text)
    start = stated.end() - 1 if stated else 0
    found: list[tuple[int, int, str]] = []
    if letter := stated or _MARKED.search(text) or _BARE.search(text):
        place = letter.end() - 1
        found.append((place, 0, text[place].upper()))
    for choice_letter, choice in zip(LETTERS, choices, strict=True):
        pattern = re.compile(rf"(?<!\w){re.escape(choice)}(?!\w)", re.IGNORECASE)
        if match := pattern.search(text, start):
            found.append((match.start(), -len(choice), choice_letter))
    return min(found)[2] if found else None


def last_answer(text: str, question: Question) -> str | None:
    """The answer of a free reply: its last number, or its first letter or choice."""
    if question.choices is not None:
        return letter_in(text, question.choices)
    numbers = numbers_in(text)
    return numbers[-1] if numbers else None


def first_answer(text: str, question: Question) -> str | None:
    """The answer of a reply to "the answer is": its first number, or its first letter or choice."""
    if question.choices is not None:
        return letter_in(text, question.choices)
    numbers = numbers_in(text)
    return numbers[0] if numbers else None
