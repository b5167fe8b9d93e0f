"""One token for each byte, and the special tokens of the toy model of `tests/parity/toy.py`."""

import itertools
from collections.abc import Sequence

EOS, START_THOUGHT, END_THOUGHT, BOS = 256, 257, 258, 259
VOCAB_SIZE = 260
SPECIAL_TEXT = {EOS: "</s>", START_THOUGHT: "<|start|>", END_THOUGHT: "<|end|>", BOS: "<s>"}


def token_ids_of(text: str) -> list[int]:
    """A text that is a special token's own is that token."""
    for token_id, special in SPECIAL_TEXT.items():
        if text == special:
            return [token_id]
    return list(text.encode())


def text_of(token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    parts: list[str] = []
    for is_byte, group in itertools.groupby(token_ids, lambda token_id: token_id < 256):
        if is_byte:
            parts.append(bytes(group).decode(errors="replace"))
        elif not skip_special_tokens:
            parts += [SPECIAL_TEXT[token_id] for token_id in group]
    return "".join(parts)


def token_text(token_id: int) -> str:
    """The text of one token on its own."""
    return text_of([token_id], skip_special_tokens=False)
