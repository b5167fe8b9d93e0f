"""The bytes that a token stands for, with tokenizers whose tokens may be parts of characters."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = tuple(byte for byte in range(256) if byte not in _PRINTABLE)
_BYTE_OF_CHARACTER = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(256 + index): byte for index, byte in enumerate(_OTHERS)
}
"""The characters that byte-level BPE writes for bytes (GPT-2's table)."""


def byte_level_bytes(token: str) -> bytes:
    """The bytes of a token of byte-level BPE.

    An added token with a character outside of the table is plain text, as the decoder reads it.
    """
    try:
        return bytes(_BYTE_OF_CHARACTER[character] for character in token)
    except KeyError:
        return token.encode()


def fallback_byte(token: str) -> bytes | None:
    """The byte of a token such as `<0xE6>`; None for other tokens."""
    match = _FALLBACK.fullmatch(token)
    return bytes.fromhex(match[1]) if match else None


def is_byte_level(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether every token is written in the characters of byte-level BPE."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    if decoder is None:
        return False
    kinds = set(_decoder_kinds(json.loads(decoder.__getstate__())))
    return "ByteLevel" in kinds and kinds <= {"ByteLevel", "Fuse"}


def has_fallback_bytes(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether tokens such as `<0xE6>` are bytes, and not text that only looks like one."""
    vocabulary = tokenizer.get_vocab()
    if "<0xC3>" not in vocabulary or "<0xA9>" not in vocabulary:
        return False
    return tokenizer.decode([vocabulary["<0xC3>"], vocabulary["<0xA9>"]]) == "é"


def _decoder_kinds(state: dict[str, Any]) -> Iterator[str]:
    if state["type"] != "Sequence":
        yield state["type"]
    for each in state.get("decoders", ()):
        yield from _decoder_kinds(each)
