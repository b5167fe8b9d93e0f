"""Which characters each token brings, when tokens may be parts of characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from qstar_infer.text.detokenizer import HALF_CHARACTER, Decode, IncrementalDetokenizer

_MISSED_CHARACTERS = 4
"""A normalised character stands for at most about so many: a letter with its accents."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token does to a text."""

    begin: int
    """Where the token begins, in characters after the text that was settled before it."""
    text: str
    """The characters that it settles."""


class PieceReader:
    """Decodes token by token, as the engine cuts its text: all pieces, joined, are the text.

    Part of a character settles nothing; its last part settles it whole, and all parts begin where
    the character does.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._detokenizer = IncrementalDetokenizer(decode, context)

    def push(self, token_id: int) -> Piece:
        """Take the next token."""
        is_first = not self._detokenizer.waiting
        text = self._detokenizer.push(token_id)
        begin = 0 if is_first else self._begin(token_id, text + self._detokenizer.waiting)
        return Piece(begin, text)

    def _begin(self, token_id: int, new: str) -> int:
        """Counted from the end: bytes before this token may have been no character after all."""
        alone = self._decode([token_id])
        whole_characters = alone.lstrip(HALF_CHARACTER)
        begins_inside_a_character = len(whole_characters) < len(alone)
        return max(0, len(new) - len(whole_characters) - begins_inside_a_character)


def align(text: str, pieces: Sequence[Piece]) -> list[int]:
    """Where each token of a prompt begins in its text.

    The text is the client's and need not be what the tokens decode to: a special token that the
    tokenizer put in has no characters there, a leading space may be missing, and a tokenizer that
    normalises has other characters. Behind those, the next piece is looked for a little further on.
    """
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
    return list(accumulate(offsets, max))


def _find(text: str, piece: str, position: int, reach: int) -> tuple[int, int]:
    """Start and length of a piece at `position`, or up to `reach` behind it; length 0 if not."""
    candidates = [candidate for candidate in (piece, piece.lstrip()) if candidate]
    for furthest in (0, reach):
        for candidate in candidates:
            start = text.find(candidate, position, position + furthest + len(candidate))
            if start >= 0:
                return start, len(candidate)
    return position, 0
