"""Finds where each token of a prompt begins in the text that the client sent."""

from collections.abc import Sequence
from itertools import accumulate

from qstar_infer.text.detokenizer import Decode, IncrementalDetokenizer, Piece

_MISSED_CHARACTERS = 4
"""Most characters of the original text for one normalised character (a letter with accents)."""


def prompt_offsets(decode: Decode, text: str, token_ids: Sequence[int]) -> list[int]:
    """The offset of each token in `text`, in characters; never decreasing.

    The text may differ from what the tokens decode to: special tokens that the tokenizer adds are
    not in it, a leading space may be missing, and a tokenizer may normalise characters. After a
    piece that is not found, the search for the next one reaches a few characters further.

    Args:
        decode: must keep special tokens.
    """
    detokenizer = IncrementalDetokenizer(decode)
    return _align(text, [detokenizer.push(token_id) for token_id in token_ids])


def _align(text: str, pieces: Sequence[Piece]) -> list[int]:
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
    """Start and length of a piece, at most `reach` after `position`; length 0 if not found."""
    candidates = [candidate for candidate in (piece, piece.lstrip()) if candidate]
    for furthest in (0, reach):
        for candidate in candidates:
            start = text.find(candidate, position, position + furthest + len(candidate))
            if start >= 0:
                return start, len(candidate)
    return position, 0
