"""Text to token ids for measuring, and the text of tokens with partial characters as bytes.

No text can spell a special token, as in training (`qstar_train.data.encoding`). Unlike training,
each text is encoded by itself, with the special tokens the tokenizer puts before a text.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from qstar_infer.text.token_bytes import byte_level_bytes, fallback_byte
from qstar_infer.text.token_text import TokenText
from qstar_train.data.encoding import PlainEncoder

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def encode_text(
    tokenizer: PreTrainedTokenizerBase, text: str, delimiter_ids: Sequence[int] = ()
) -> list[int]:
    """Encode one text.

    Args:
        delimiter_ids: of thoughts. Text that spells them is encoded as plain text; where they are
            ordinary tokens, which any text may contain, they are dropped.

    Raises:
        ConfigError: the tokenizer is not from the `tokenizers` library.
    """
    ids = _encoder(tokenizer, tuple(delimiter_ids)).encode_alone(text)
    return [token_id for token_id in ids if token_id not in delimiter_ids]


def texts_of(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[Sequence[int]]) -> list[str]:
    """The text of each piece of a text, special tokens included, single bytes as `<E2>`."""
    text = _token_text(tokenizer)
    return [show_bytes(tokenizer, piece, text.of_piece(piece)) for piece in pieces]


def show_bytes(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], text: str) -> str:
    """Replace each U+FFFD in decoded text with the byte it stands for, as `<E2>`.

    A token may hold a part of a character. Decoding turns that part into U+FFFD, which hides which
    bytes it was.

    Args:
        text: of these tokens, as decoded. Returned unchanged if it holds no U+FFFD, or if some
            token is written neither in byte-level BPE nor as a fallback byte (`<0xE2>`).
    """
    if _UNKNOWN not in text:
        return text
    parts = [_bytes_of(token) for token in tokenizer.convert_ids_to_tokens(list(token_ids))]
    data = b"".join(part for part in parts if part is not None)
    # A token's name may look like bytes without being bytes; its decoded text then differs.
    known = data.decode(errors="ignore").replace(_UNKNOWN, "")
    if None in parts or known != text.replace(_UNKNOWN, ""):
        return text
    kept = data.decode(errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda match: f"<{ord(match[0]) - 0xDC00:02X}>", kept)


@lru_cache(maxsize=2)
def _encoder(tokenizer: PreTrainedTokenizerBase, delimiter_ids: tuple[int, ...]) -> PlainEncoder:
    """Cached: copying a tokenizer takes longer than encoding a batch of text."""
    return PlainEncoder(tokenizer, delimiter_ids)


@lru_cache(maxsize=2)
def _token_text(tokenizer: PreTrainedTokenizerBase) -> TokenText:
    return TokenText(tokenizer)


def _bytes_of(token: str | None) -> bytes | None:
    """The bytes of a token; None for an id without a token."""
    if token is None:
        return None
    fallback = fallback_byte(token)
    return byte_level_bytes(token) if fallback is None else fallback
