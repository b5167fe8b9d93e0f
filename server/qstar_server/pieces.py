"""Which characters each token brings, when tokens may be parts of characters."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
"""Text of token ids."""

_CONTEXT_TOKENS = 6
# A character has at most 4 bytes, so a longer run of undecidable bytes is not one any more.
_MAX_PENDING_TOKENS = 8
_HALF_CHARACTER = "\ufffd"


class PieceReader:
    """Decodes token by token: the pieces of all tokens, joined, are the text.

    Tokens are decoded together with a few before them, since many tokenizers treat the first token
    of a text in a special way. Part of a character brings nothing; its last part brings it whole.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._ids = list(context[-_CONTEXT_TOKENS:])
        self._num_settled = len(self._ids)

    def push(self, token_id: int) -> str:
        """The characters that are settled by this token."""
        self._ids.append(token_id)
        whole = self._decode(self._ids)
        num_pending = len(self._ids) - self._num_settled
        if whole.endswith(_HALF_CHARACTER) and num_pending < _MAX_PENDING_TOKENS:
            return ""
        settled = self._decode(self._ids[: self._num_settled])
        self._ids = self._ids[self._num_settled :]
        self._num_settled = len(self._ids)
        return whole[len(settled) :]


def align(text: str, pieces: Sequence[str]) -> list[int]:
    """Where each token of a prompt begins in its text.

    The text is the client's and need not be what the tokens decode to: a special token that the
    tokenizer put in has no characters there, and a leading space may be missing.
    """
    offsets: list[int] = []
    position = 0
    for piece in pieces:
        offsets.append(position)
        for candidate in (piece, piece.lstrip()):
            if candidate and text.startswith(candidate, position):
                position += len(candidate)
                break
    return offsets
