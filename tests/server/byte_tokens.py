"""One token for each byte, and the special tokens of the toy model of `tests/parity/toy.py`."""

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
    return bytes_of(token_ids, skip_special_tokens=skip_special_tokens).decode(errors="replace")


def bytes_of(token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> bytes:
    special = {} if skip_special_tokens else SPECIAL_TEXT
    return b"".join(
        bytes([each]) if each < 256 else special.get(each, "").encode() for each in token_ids
    )


def offsets_of(token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> list[int]:
    """The index of the character that each token belongs to; for valid UTF-8."""
    offsets: list[int] = []
    length = 0
    for token_id in token_ids:
        data = bytes_of([token_id], skip_special_tokens=skip_special_tokens)
        is_inside_a_character = token_id in range(0x80, 0xC0)
        offsets.append(length - is_inside_a_character)
        length += sum(byte not in range(0x80, 0xC0) for byte in data)
    return offsets


def token_text(token_id: int) -> str:
    """The text of one token on its own."""
    return text_of([token_id], skip_special_tokens=False)
