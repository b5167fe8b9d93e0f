"""Turns tokens into text one by one, where a token may be only part of a character."""

from collections.abc import Sequence

from qstar_infer.text.utf8 import Piece, Utf8Stream
from qstar_infer.text.vocabulary import Token, Vocabulary

_MAX_CONTEXT = 64
"""Of a longer run of tokens without text, the rest is not remembered."""


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
        before = (vocabulary.token(token_id) for token_id in reversed(context))
        shown = next((token for token in before if not self._is_hidden(token)), None)
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
        token = self._vocabulary.token(token_id)
        if self._is_hidden(token):
            return Piece(0, "")
        if token.raw is None:
            waiting = self._bytes.flush()
            return Piece(len(waiting), waiting + self._text(token))
        space = self._text(token).rstrip("\ufffd") if self._is_silent else ""
        self._go_on_after(token)
        piece = self._bytes.push(token.raw)
        return Piece(len(space) + piece.begin, space + piece.text) if space else piece

    def flush(self) -> str:
        """End the output and return the text that was held back."""
        return self._bytes.flush()

    def _is_hidden(self, token: Token) -> bool:
        return token.raw == b"" or (token.is_special and self._skips)

    def _text(self, token: Token) -> str:
        text = self._vocabulary.text_after(self._before, token.token_id)
        if text:
            self._go_on_after(token)
        else:
            self._before = (*self._before, token.token_id)[:_MAX_CONTEXT]
            self._is_silent = True
        return text

    def _go_on_after(self, token: Token) -> None:
        self._is_silent = False
        anchor = self._vocabulary.anchor
        self._before = (*anchor, token.token_id) if token.raw is None else anchor


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
