"""Breaks text into lines of a width, and remembers which token each part belongs to."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from prompt_toolkit.utils import get_cwidth

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")
"""A line break, a run of other white space, or a word."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a line that belongs to one token.

    Attributes:
        column: where it begins.
    """

    text: str
    token: int
    column: int

    @property
    def end(self) -> int:
        """The column behind it."""
        return self.column + get_cwidth(self.text)


Line = tuple[Fragment, ...]


def lay_out(pieces: Sequence[str], width: int) -> list[Line]:
    """Lines of at most `width` columns, broken before words where possible.

    Args:
        pieces: the text of each token.
    """
    text = "".join(pieces)
    owners = [number for number, piece in enumerate(pieces) for _ in piece]
    return [_line(text, owners, begin, end) for begin, end in broken(text, width)]


def wrapped(text: str, width: int) -> list[str]:
    """The same for text that belongs to no token."""
    return [text[begin:end] for begin, end in broken(text, width)]


def broken(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each line. A line feed at the end of the text begins no other line."""
    begin = column = 0
    for match in _PIECES.finditer(text):
        start = match.start()
        if match.group() == "\n":
            yield begin, start
            begin, column = match.end(), 0
            continue
        is_word = not match.group().isspace()
        if is_word and column > 0 and column + get_cwidth(match.group()) > width:
            yield begin, start
            begin, column = start, 0
        for place, character in enumerate(match.group(), start):
            cells = get_cwidth(character)
            if column + cells > width and place > begin:
                yield begin, place
                begin, column = place, 0
            column += cells
    if begin < len(text):
        yield begin, len(text)


def _line(text: str, owners: Sequence[int], begin: int, end: int) -> Line:
    fragments = []
    column = 0
    for token, places in groupby(range(begin, end), key=owners.__getitem__):
        part = "".join(text[place] for place in places)
        fragments.append(Fragment(part, token, column))
        column = fragments[-1].end
    return tuple(fragments)
