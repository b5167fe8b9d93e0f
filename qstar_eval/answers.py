"""Reads answers from text: numbers in a canonical spelling, and letters or choices."""

import re
from collections.abc import Sequence

LETTERS = "ABCDE"
"""Of CommonsenseQA's five choices."""

_NUMBER = re.compile(
    r"""
    (?<![A-Za-z0-9])                            # not within a word or another number, nor in x_1;
    (?<![A-Za-z0-9]_)(?<![0-9]\.)               # but 18 is a number in _18_ and in ...18
    ([-\u2212]?)\$?                             # a minus after a digit is a subtraction
    ((?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)
    """,
    re.VERBOSE,
)
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


def plain_number(text: str) -> str | None:
    """The canonical spelling of a text that is one number, else None: `$1,000.50` is `1000.5`."""
    match = _NUMBER.fullmatch(text.strip())
    return None if match is None else _spelled(match)


def numbers_in(text: str) -> list[str]:
    """Every number in a text, in canonical spelling. A minus between numbers is no sign."""
    return [_spelled(match) for match in _NUMBER.finditer(text)]


def letter_in(text: str, choices: Sequence[str]) -> str | None:
    """The letter that a text answers with, as a reader would find it; None if there is none.

    1. In "the answer is B" the letter B counts, and nothing before it.
    2. Otherwise the first letter that begins the text or stands in parentheses.
    3. Otherwise the first letter that stands alone (it may be that of a vitamin).

    A choice written out before that letter wins, and of several the first. Of two choices at one
    place (`store`, `store room`) the longer one wins.
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


def answer_in(text: str, choices: Sequence[str] | None, *, place: int) -> str | None:
    """The answer that a text gives: `letter_in` with choices, else the number at `place`.

    Args:
        place: 0 for the first number, -1 for the last.
    """
    if choices is not None:
        return letter_in(text, choices)
    numbers = numbers_in(text)
    return numbers[place] if numbers else None


def _spelled(match: re.Match[str]) -> str:
    # By hand: a float or a Decimal would round the long numbers that models write.
    whole, _, fraction = match[2].replace(",", "").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if match[1] and number != "0" else number
