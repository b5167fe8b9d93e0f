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
    for number, token in enumerate(tokens):
        if text.startswith(token, begin):
            pieces.append(token)
            begin += len(token)
        elif BROKEN in token:
            end = _end_of_broken(text, begin, tokens[number + 1 :])
            pieces.append(text[begin:end])
            begin = end
        else:
            pieces.append(token)
    return pieces


def _end_of_broken(text: str, begin: int, rest: Sequence[str]) -> int:
    """Where the text of a broken token ends: before the next whole token, or at the end."""
    whole = next((token for token in rest if token and BROKEN not in token), None)
    found = -1 if whole is None else text.find(whole, begin)
    return len(text) if found < 0 else found


def visible(piece: str) -> str:
    """A piece as a reader sees it: line breaks and tabs have signs, and nothing is a sign too."""
    return printable(piece).replace("\n", "↵\n").replace("\t", "⇥") or NO_TEXT
