"""Converts text to token ids and back. Thread-safe: the tokenizer is only read."""

from collections.abc import Sequence as Items
from functools import lru_cache
from typing import TYPE_CHECKING

from qstar_infer.errors import RequestError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokenText:
    """Encodes and decodes with one tokenizer."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        # Each token is decoded after this one, because some tokenizers drop the space at the start
        # of a text.
        self._before: list[int] = tokenizer("a", add_special_tokens=False).input_ids[-1:]
        self._text_before = self.decode(self._before, skip_special_tokens=False)
        self.of_token = lru_cache(maxsize=65536)(lambda token_id: self.of_piece([token_id]))

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text.

        Raises:
            RequestError: the text cannot be encoded in UTF-8 (it contains a lone surrogate).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the prompt contains the lone surrogate {text[error.start]!r}; send valid UTF-8",
                param="prompt",
            ) from None
        ids: list[int] = self._tokenizer(text, add_special_tokens=add_special_tokens).input_ids
        return ids

    def decode(self, token_ids: Items[int], *, skip_special_tokens: bool = True) -> str:
        text = self._tokenizer.decode(
            list(token_ids),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        assert isinstance(text, str)
        return text

    def of_piece(self, token_ids: Items[int]) -> str:
        """The text of tokens as in the middle of a longer text, special tokens included."""
        text = self.decode([*self._before, *token_ids], skip_special_tokens=False)
        return text.removeprefix(self._text_before)
