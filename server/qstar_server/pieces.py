"""Which characters each token brings, when tokens may be parts of characters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

Decode = Callable[[Sequence[int]], str]
"""Text of token ids."""

_CHARACTER_TOKENS = 4
"""A character has at most so many bytes, and a token has at least one."""
_HALF_CHARACTER = "\ufffd"
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
    """Decodes token by token: the texts of all pieces, joined, are the text.

    Tokens are decoded together with a few before them, since many tokenizers treat the first token
    of a text in a special way. Part of a character settles nothing; its last part settles it whole,
    and all parts begin where the character does. The rules are those by which an engine cuts its
    text: the two have the same characters.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._ids = list(context[-_CHARACTER_TOKENS:])
        if decode(self._ids).endswith(_HALF_CHARACTER):
            self._ids = []  # half a character cannot be told from the text's own bytes
        self._num_settled = len(self._ids)

    def push(self, token_id: int) -> Piece:
        """Take the next token."""
        self._ids.append(token_id)
        new = self._text_of(len(self._ids))
        num_pending = len(self._ids) - self._num_settled
        begin = 0 if num_pending == 1 else self._begin(token_id, new)
        if not new.endswith(_HALF_CHARACTER):
            return Piece(begin, self._settle(new, len(self._ids)))
        if num_pending > 2 * _CHARACTER_TOKENS:
            # Of a run of bytes that are no character, only the end can still become one.
            for end in range(len(self._ids) - _CHARACTER_TOKENS, len(self._ids)):
                head = self._text_of(end)
                if head + self._decode(self._ids[end:]) == new:
                    return Piece(begin, self._settle(head, end))
        return Piece(begin, "")

    def _text_of(self, end: int) -> str:
        """What the tokens up to `end` add to the settled text."""
        settled = self._decode(self._ids[: self._num_settled])
        return self._decode(self._ids[:end])[len(settled) :]

    def _settle(self, text: str, end: int) -> str:
        if not text and self._decode(self._ids[: self._num_settled]):
            del self._ids[self._num_settled : end]  # behind a token without text a space is lost
            return text
        del self._ids[: self._num_settled]
        self._num_settled = end - self._num_settled
        return text

    def _begin(self, token_id: int, new: str) -> int:
        """Counted from the end: bytes before this token may have been no character after all."""
        alone = self._decode([token_id])
        whole_characters = alone.lstrip(_HALF_CHARACTER)
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
