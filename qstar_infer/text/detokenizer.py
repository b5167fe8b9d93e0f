"""Text of tokens that come one by one, where a token may be part of a character."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decode = Callable[[Sequence[int]], str]
"""Text of token ids."""

HALF_CHARACTER = "\ufffd"
_CHARACTER_TOKENS = 4
"""A character has at most this many bytes, and a token has at least one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token adds to a text."""

    begin: int
    """Where the token begins, in characters after the text that earlier pieces completed."""
    text: str
    """The characters that this token completes; "" while a character is incomplete."""


class IncrementalDetokenizer:
    """Text of a growing output, never half a character. All pieces, joined, are the text.

    Text that ends in U+FFFD may be the first bytes of a character; it waits for the next token. In
    a longer run of such tokens only the last few can still become a character. All tokens of one
    character begin where the character begins.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        """
        Args:
            context: token ids that the output follows. Some tokenizers drop the space that a text
                begins with, so the output must not be decoded as if it began one.
        """
        self._decode = decode
        self._token_ids = list(context[-_CHARACTER_TOKENS:])
        if decode(self._token_ids).endswith(HALF_CHARACTER):
            self._token_ids = []  # half a character cannot be told from the output's own bytes
        self._emitted = len(self._token_ids)
        """[0, emitted) decodes to text already given; it tells how the next piece begins. It shows
        some text once the output does: after nothing, a space would be lost."""

    @property
    def waiting(self) -> str:
        """The text of the tokens that complete no character so far."""
        is_waiting = self._emitted < len(self._token_ids)
        return self._text_of(len(self._token_ids)) if is_waiting else ""

    def push(self, token_id: int) -> Piece:
        """Take the next token."""
        is_first = self._emitted == len(self._token_ids) or not self.waiting
        text = self._complete(token_id)
        begin = 0 if is_first else self._begin(token_id, text + self.waiting)
        return Piece(begin, text)

    def flush(self) -> str:
        """What still waits, at the end of the output."""
        return self._settle(self._text_of(len(self._token_ids)), len(self._token_ids))

    def _complete(self, token_id: int) -> str:
        """The text that this token completes."""
        self._token_ids.append(token_id)
        piece = self._text_of(len(self._token_ids))
        if not piece.endswith(HALF_CHARACTER):
            return self._settle(piece, len(self._token_ids))
        if len(self._token_ids) - self._emitted <= 2 * _CHARACTER_TOKENS:
            return ""
        for end in range(len(self._token_ids) - _CHARACTER_TOKENS, len(self._token_ids)):
            head = self._text_of(end)
            if head + self._decode(self._token_ids[end:]) == piece:
                return self._settle(head, end)
        return ""

    def _begin(self, token_id: int, new: str) -> int:
        """Where a token begins in `new`, the text that waited and what the token added to it.

        Counted from the end: the bytes before this token may have been no character after all.
        """
        alone = self._decode([token_id])
        whole_characters = alone.lstrip(HALF_CHARACTER)
        begins_inside_a_character = len(whole_characters) < len(alone)
        return max(0, len(new) - len(whole_characters) - begins_inside_a_character)

    def _settle(self, piece: str, end: int) -> str:
        """Give out the text up to token `end`; older tokens are not looked at again."""
        if not piece and self._decode(self._token_ids[: self._emitted]):
            del self._token_ids[self._emitted : end]  # a special token that is left out
            return piece
        del self._token_ids[: self._emitted]
        self._emitted = end - self._emitted
        return piece

    def _text_of(self, end: int) -> str:
        """What the tokens up to `end` add to the text already given."""
        before = self._decode(self._token_ids[: self._emitted])
        return self._decode(self._token_ids[:end])[len(before) :]
