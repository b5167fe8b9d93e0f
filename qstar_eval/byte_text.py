"""The text of tokens with the bytes that are no character by themselves, as `<E2>`.

Decoding has U+FFFD for each of them, which does not tell which they are. Two ways of writing bytes
are known: a character for each (byte-level BPE), and `<0xE2>` for those that no word has.
"""

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_AS_THEMSELVES = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
_OTHERS = [byte for byte in range(0x100) if byte not in _AS_THEMSELVES]
BYTE_OF_CHARACTER = {chr(byte): byte for byte in _AS_THEMSELVES} | {
    chr(0x100 + place): byte for place, byte in enumerate(_OTHERS)
}
"""What byte-level BPE writes for each byte (GPT-2's table)."""


def with_bytes(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], text: str) -> str:
    """What to show for tokens.

    Args:
        text: of these tokens, as decoded. It is given back where it has nothing unknown, or where
            the tokens are not all written in bytes.
    """
    if _UNKNOWN not in text:
        return text
    parts = [_bytes_of(token) for token in tokenizer.convert_ids_to_tokens(list(token_ids))]
    data = b"".join(part for part in parts if part is not None)
    # A token's name may look like bytes and be none: then it was decoded to something else.
    if None in parts or data.decode(errors="replace") != text:
        return text
    kept = data.decode(errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda match: f"<{ord(match[0]) - 0xDC00:02X}>", kept)


def _bytes_of(token: str | None) -> bytes | None:
    """None for a token that is not written in bytes, or for an id without one."""
    if token is None:
        return None
    if match := _FALLBACK.fullmatch(token):
        return bytes.fromhex(match[1])
    if not all(character in BYTE_OF_CHARACTER for character in token):
        return None
    return bytes(BYTE_OF_CHARACTER[character] for character in token)
