"""Which piece of a text belongs to which token, from the text of each token alone."""

from collections.abc import Sequence

from qstar_infer.cli.terminal import printable

BROKEN = "\ufffd"
"""Stands in a token's text for a part of a character."""
NO_TEXT = "∅"


def pieces_of(text: str, tokens: Sequence[str]) -> list[str]:
    """One piece of the text for each token.

    Usually it is the token's own text. Of tokens that share a character the first gets it, and the
    others nothing. A token whose text is not in `text`, such as end of sequence or what a stop
    string cut off, gets its own text.
    """
    pieces: list[str] = []
    begin = 0
    for token, whole in zip(tokens, _next_whole(tokens), strict=True):
        if BROKEN in token and not text.startswith(token, begin):
            found = -1 if whole is None else text.find(whole, begin)
            piece = text[begin:] if found < 0 else text[begin:found]
        else:
            piece = token
        pieces.append(piece)
        if text.startswith(piece, begin):
            begin += len(piece)
    return pieces


def _next_whole(tokens: Sequence[str]) -> list[str | None]:
    """For each token the next one whose text is known; None behind the last of them."""
    found: list[str | None] = []
    whole = None
    for token in reversed(tokens):
        found.append(whole)
        if token and BROKEN not in token:
            whole = token
    return found[::-1]


def visible(piece: str) -> str:
    """A piece as a reader sees it: line breaks and tabs have signs, and nothing is a sign too."""
    return printable(piece).replace("\n", "↵\n").replace("\t", "⇥") or NO_TEXT
