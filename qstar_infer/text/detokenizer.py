"""Turns tokens into text one by one, where a token may be only part of a character."""

from collections.abc import Sequence

from qstar_infer.text.utf8 import Piece, Utf8Stream
from qstar_infer.text.vocabulary import Vocabulary


class IncrementalDetokenizer:
    """Decodes a growing output and never emits half a character. The joined pieces are the text.

    The text is the tokenizer's own decoding, with one exception: where bytes of byte fallback are
    no character, complete characters beside them are kept, which `tokenizers` would drop.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        context: Sequence[int] = (),
        *,
        skip_special_tokens: bool,
    ) -> None:
        """
        Args:
            context: token ids before the output, which is decoded as their continuation: some
                decoders drop the space at the start of a text, or put one between tokens. An
                incomplete character at their end is not continued.
        """
        self._vocabulary = vocabulary
        self._skips = skip_special_tokens
        self._bytes = Utf8Stream(vocabulary.replacement)
        shown = next((each for each in reversed(context) if not self._is_hidden(each)), None)
        self._before: tuple[int, ...] = ()
        """The tokens that the next one's text may depend on; none at the start of a text. Else an
        ordinary one, the last token with text, and the tokens without text after it."""
        self._is_silent = False
        """Whether the last token had no text: white space that the decoder drops at an end."""
        if shown is not None:
            self._go_on_after(shown)

    @property
    def waiting(self) -> str:
        """The text of the tokens at the end that do not yet complete a character."""
        return self._bytes.waiting

    def push(self, token_id: int) -> Piece:
        """Add the next token."""
        if self._is_hidden(token_id):
            return Piece(0, "")
        raw = self._raw(token_id)
        if raw is None:
            waiting = self._bytes.flush()
            return Piece(len(waiting), waiting + self._text(token_id))
        space = self._text(token_id).rstrip("\ufffd") if self._is_silent else ""
        self._go_on_after(token_id)
        piece = self._bytes.push(raw)
        return Piece(len(space) + piece.begin, space + piece.text)

    def flush(self) -> str:
        """End the output and return the text that was held back."""
        return self._bytes.flush()

    def _is_hidden(self, token_id: int) -> bool:
        token = self._vocabulary.token(token_id)
        return token.raw == b"" or (self._skips and token.is_special)

    def _raw(self, token_id: int) -> bytes | None:
        return self._vocabulary.token(token_id).raw

    def _text(self, token_id: int) -> str:
        text = self._vocabulary.text_after(self._before, token_id)
        if text:
            self._go_on_after(token_id)
        else:
            self._before = (*self._before, token_id)
            self._is_silent = True
        return text

    def _go_on_after(self, token_id: int) -> None:
        self._is_silent = False
        is_text = self._raw(token_id) is None
        self._before = (*self._vocabulary.anchor, token_id) if is_text else self._vocabulary.anchor


def offsets_of(pieces: Sequence[Piece]) -> list[int]:
    """Where each piece begins in the text of all; never decreasing."""
    offsets: list[int] = []
    length = newest = 0
    for piece in pieces:
        # Bytes that looked like one character may be several broken ones.
        newest = max(newest, length + piece.begin)
        offsets.append(newest)
        length += len(piece.text)
    return offsets
