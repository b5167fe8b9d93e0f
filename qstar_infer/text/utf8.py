"""Decodes UTF-8 that arrives in pieces, and says where each piece begins."""

import codecs
from typing import Literal, NamedTuple

Replacement = Literal["replace", "qstar-replace-bytes"]
"""U+FFFD for a broken character (as byte-level BPE decodes), or for each of its bytes (as byte
fallback decodes)."""


class Piece(NamedTuple):
    """The text that one token adds."""

    begin: int
    """Where the token begins, in characters from the end of the text of the earlier pieces."""
    text: str
    """The characters that this token completes; empty while a character is incomplete."""


class Utf8Stream:
    """Decodes bytes, and holds back the first bytes of a character until it is complete."""

    def __init__(self, replacement: Replacement) -> None:
        self._replacement = replacement
        self._held = b""

    @property
    def waiting(self) -> str:
        """What the bytes held back become if no more come."""
        return self._held.decode(errors=self._replacement)

    def push(self, data: bytes) -> Piece:
        """Add the bytes of the next token."""
        begin = 0
        if self._held:
            begin = self._begin(data)
            data = self._held + data
        text, num_used = codecs.utf_8_decode(data, self._replacement, False)
        self._held = data[num_used:]
        return Piece(begin, text)

    def flush(self) -> str:
        """End the character that is incomplete."""
        text, self._held = self.waiting, b""
        return text

    def _begin(self, data: bytes) -> int:
        """0 if the bytes continue the character that is held back; else they begin after it."""
        is_one_character = len((self._held + data[:1]).decode(errors="replace")) == 1
        return 0 if is_one_character else len(self.waiting)


def _replace_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("qstar-replace-bytes", _replace_bytes)
