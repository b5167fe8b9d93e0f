"""Which questions are held out: a tenth, by a hash of their text."""

import hashlib
from collections.abc import Callable

HELD_OUT_SHARE = 0.1
_RANGE = 2**64


def is_held_out(prompt: str) -> bool:
    """Whether a question is for tests only."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * _RANGE


def draw_question(draw: Callable[[], tuple[str, ...]], *, held_out: bool) -> tuple[str, ...]:
    """Draw questions until one is held out, or until one is not."""
    while True:
        question = draw()
        if is_held_out("".join(question)) == held_out:
            return question
