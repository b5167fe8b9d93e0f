"""Answers in what a model wrote. Knows no model."""

import re
from collections.abc import Sequence

from qstar_train.evaluator.questions.data import LETTERS, Question
from qstar_train.evaluator.questions.numerals import numbers_in

_LETTER = re.compile(
    rf"""
    \(([{LETTERS}{LETTERS.lower()}])\)          # (B) or (b)
    | (?<![\w'])
      (?!A\ (?!is\b)[a-z])                      # "A bank ..." is an article; "A is right" is not
      ([{LETTERS}])
      (?![\w'])
    """,
    re.VERBOSE | re.ASCII,
)


def letter_in(text: str, choices: Sequence[str]) -> str | None:
    """The first answer of a text: a letter that stands alone, or a choice written out.

    A choice that begins another (`store`, `store room`) loses to the longer one.
    """
    found = [
        (match.start(), 0, (match[1] or match[2]).upper()) for match in _LETTER.finditer(text)
    ][:1]
    for letter, choice in zip(LETTERS, choices, strict=True):
        pattern = rf"(?<!\w){re.escape(choice)}(?!\w)"
        if match := re.search(pattern, text, re.IGNORECASE):
            found.append((match.start(), -len(choice), letter))
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
