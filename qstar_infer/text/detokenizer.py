"""Turns tokens into text one by one, where a token may be only part of a character."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decode = Callable[[Sequence[int]], str]
"""Text of token ids."""

HALF_CHARACTER = "\ufffd"
"""What a decoder emits for bytes that are no complete character."""
_CHARACTER_TOKENS = 4
"""Most tokens of one character: a character has at most 4 bytes, a token at least 1."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The text that one token adds."""

    begin: int
    """Where the token begins, in characters from the end of the text of the earlier pieces."""
    text: str
    """The characters that this token completes; empty while a character is incomplete."""


class IncrementalDetokenizer:
    """Decodes a growing output and never emits half a character. The joined pieces are the text.

    Text that ends in U+FFFD may be the first bytes of a character, so it is held back until the
    next token. In a longer run of such tokens, only the last few can still become a character. All
    tokens of one character have the offset of that character.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        """
        Args:
            context: token ids before the output. Some tokenizers drop the space at the start of
                a text, so the output must not be decoded as the start of one.
        """
        self._decode = decode
        self._token_ids = list(context[-_CHARACTER_TOKENS:])
        if decode(self._token_ids).endswith(HALF_CHARACTER):
            self._token_ids = []  # it could not be told apart from the output's own bytes
        self._emitted = len(self._token_ids)
        """Tokens `[0, emitted)` are context: their text has been emitted. They are kept because a
        decoder without context would drop the space at the start of the next piece."""

    @property
    def waiting(self) -> str:
        """The text of the tokens at the end that do not yet complete a character."""
        is_waiting = self._emitted < len(self._token_ids)
        return self._text_of(len(self._token_ids)) if is_waiting else ""

    def push(self, token_id: int) -> Piece:
        """Add the next token."""
        is_first = self._emitted == len(self._token_ids) or not self.waiting
        text = self._complete(token_id)
        begin = 0 if is_first else self._begin(token_id, text + self.waiting)
        return Piece(begin, text)

    def flush(self) -> str:
        """End the output and return the text that was held back."""
        return self._emit(self._text_of(len(self._token_ids)), len(self._token_ids))

    def _complete(self, token_id: int) -> str:
        """The text that this token completes."""
        self._token_ids.append(token_id)
        piece = self._text_of(len(self._token_ids))
        if not piece.endswith(HALF_CHARACTER):
            return self._emit(piece, len(self._token_ids))
        if len(self._token_ids) - self._emitted <= 2 * _CHARACTER_TOKENS:
            return ""
        for end in range(len(self._token_ids) - _CHARACTER_TOKENS, len(self._token_ids)):
            head = self._text_of(end)
            if head + self._decode(self._token_ids[end:]) == piece:
                return self._emit(head, end)
        return ""

    def _begin(self, token_id: int, new: str) -> int:
        """Where a token begins in `new`, the text held back so far plus the text of this token.

        Counted from the end, because the bytes before this token may not form a character.
        """
        alone = self._decode([token_id])
        whole_characters = alone.lstrip(HALF_CHARACTER)
        begins_inside_a_character = len(whole_characters) < len(alone)
        return max(0, len(new) - len(whole_characters) - begins_inside_a_character)

    def _emit(self, piece: str, end: int) -> str:
        """Return the text up to token `end`, and drop the tokens that are no longer needed."""
        if not piece and self._decode(self._token_ids[: self._emitted]):
            del self._token_ids[self._emitted : end]  # a special token, which the text omits
            return piece
        del self._token_ids[: self._emitted]
        self._emitted = end - self._emitted
        return piece

    def _text_of(self, end: int) -> str:
        """The text that the tokens up to `end` add to the text already emitted."""
        before = self._decode(self._token_ids[: self._emitted])
        return self._decode(self._token_ids[:end])[len(before) :]
