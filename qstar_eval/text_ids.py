"""Text to token ids for measuring: as the tokenizer gives them, but no text spells a special token.

Training encodes text so too (`qstar_train.data.encoding`); it parts documents with the end of
sequence, and does without what a tokenizer puts before a text.
"""

from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from qstar_train.data.encoding import PlainEncoder


def encode_text(
    tokenizer: PreTrainedTokenizerBase, text: str, delimiter_ids: Sequence[int] = ()
) -> list[int]:
    """The ids of one text, with the special tokens that the tokenizer itself begins a text with.

    Args:
        delimiter_ids: of thoughts. A text that spells them has their names as plain text; they are
            left out where they are ordinary tokens, which any text may hold.

    Raises:
        ConfigError: the tokenizer is not of the `tokenizers` library.
    """
    ids = _encoder(tokenizer, tuple(delimiter_ids)).encode_alone(text)
    return [token_id for token_id in ids if token_id not in delimiter_ids]


@lru_cache(maxsize=2)
def _encoder(tokenizer: PreTrainedTokenizerBase, delimiter_ids: tuple[int, ...]) -> PlainEncoder:
    """Kept, because copying a tokenizer takes longer than a batch of text."""
    return PlainEncoder(tokenizer, delimiter_ids)
