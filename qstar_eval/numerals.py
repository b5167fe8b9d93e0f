"""Numbers in text, brought to one spelling each."""

import re

_NUMBER = re.compile(
    r"""
    (?<![A-Za-z0-9])                            # not within a word or another number, nor in x_1;
    (?<![A-Za-z0-9]_)(?<![0-9]\.)               # but 18 is a number in _18_ and in ...18
    ([-\u2212]?)\$?                             # a minus after a digit is a subtraction
    ((?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)
    """,
    re.VERBOSE,
)


def plain_number(text: str) -> str | None:
    """The one spelling of a number that is all of `text`, or None: `"$1,000.50"` is `"1000.5"`."""
    match = _NUMBER.fullmatch(text.strip())
    return None if match is None else _spelled(match)


def numbers_in(text: str) -> list[str]:
    """Every number in a text, each in its one spelling. A minus between numbers is no sign."""
    return [_spelled(match) for match in _NUMBER.finditer(text)]


def _spelled(match: re.Match[str]) -> str:
    # By hand: a float or a Decimal would round the long numbers that models write.
    whole, _, fraction = match[2].replace(",", "").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if match[1] and number != "0" else number
