"""Finds where each token of a prompt begins in the text that the client sent.

The text may differ from what the tokens decode to: a tokenizer may normalise characters and drop
white space, and it adds tokens that are not in the text. Each character belongs to one token. What
a tokenizer dropped belongs to the token after it, or to the last one at the end; a mark that it
joined with the character before belongs to the token of that character.
"""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

from qstar_infer.text.detokenizer import offsets_of
from qstar_infer.text.utf8 import Piece

Span = tuple[int, int]
"""The characters of the text that a token was made from, `[start, end)`."""

_MISSED_CHARACTERS = 4
"""Most characters of the original text for one normalised character (a letter with accents)."""


def prompt_offsets(text: str, pieces: Sequence[Piece], spans: Sequence[Span] | None) -> list[int]:
    """The offset of each token in `text`, in characters; from 0, never decreasing.

    Args:
        pieces: the tokens as decoded.
        spans: as the tokenizer gives them; None if it does not. Not used where the decoded tokens
            are the text, because some tokenizers leave spaces out of them.
    """
    decoded = "".join(piece.text for piece in pieces)
    if decoded in (text, f" {text}"):  # many tokenizers put a space before a text
        num_extra = len(decoded) - len(text)
        return [max(0, offset - num_extra) for offset in offsets_of(pieces)]
    return _aligned(text, pieces) if spans is None else _cut_at(text, spans)


def _cut_at(text: str, spans: Sequence[Span]) -> list[int]:
    offsets: list[int] = []
    newest = reached = 0
    for start, end in spans:
        while offsets and reached < start and unicodedata.category(text[reached])[0] not in "ZC":
            reached += 1  # a mark that was joined with the character before it
        newest = max(newest, min(start, reached))
        offsets.append(newest)
        reached = max(reached, end)
    return offsets


def _aligned(text: str, pieces: Sequence[Piece]) -> list[int]:
    """Search for each piece. After one that is not found, the search reaches further."""
    offsets: list[int] = []
    begins: list[int] = []
    position = num_missed = 0
    for piece in pieces:
        begins.append(piece.begin)
        if not piece.text:
            continue
        start, length = _find(text, piece.text, position, _MISSED_CHARACTERS * num_missed)
        offsets += [start + begin for begin in begins]
        begins.clear()
        position = start + length
        num_missed = 0 if length else num_missed + len(piece.text)
    offsets += [position + begin for begin in begins]
    return list(accumulate((min(offset, len(text)) for offset in offsets), max))


def _find(text: str, piece: str, position: int, reach: int) -> tuple[int, int]:
    """Start and length of a piece, at most `reach` after `position`; length 0 if not found."""
    candidates = [candidate for candidate in (piece, piece.lstrip()) if candidate]
    for furthest in (0, reach):
        for candidate in candidates:
            start = text.find(candidate, position, position + furthest + len(candidate))
            if start >= 0:
                return start, len(candidate)
    return position, 0
