"""Text to token ids and back. Thread-safe: a tokenizer is only read."""

from collections.abc import Sequence as Items
from functools import lru_cache

from transformers import PreTrainedTokenizerBase


class TokenText:
    """Encodes and decodes with one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        # A token is decoded behind this one, because some tokenizers drop the space that a text
        # begins with.
        self._before: list[int] = tokenizer("a", add_special_tokens=False).input_ids[-1:]
        self._text_before = self.decode(self._before, skip_special_tokens=False)
        self.of_token = lru_cache(maxsize=65536)(self._of_token)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
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

    def _of_token(self, token_id: int) -> str:
        """One token's text on its own, special tokens included."""
        text = self.decode([*self._before, token_id], skip_special_tokens=False)
        return text.removeprefix(self._text_before)


_CONTEXT_TOKENS = 4
"""Enough to end in a whole character of up to four byte tokens."""


class IncrementalDetokenizer:
    """Text of a growing output, never half a character.

    Text that ends in U+FFFD may be the first bytes of a character; it waits for the next token.
    """

    def __init__(
        self, token_text: TokenText, *, prompt_token_ids: Items[int], skip_special_tokens: bool
    ) -> None:
        """
        Args:
            prompt_token_ids: what the output follows. Some tokenizers drop the space that a text
                begins with, so the output must not be decoded as if it began one.
        """
        self._token_text = token_text
        self._skip_special_tokens = skip_special_tokens
        self._token_ids = list(prompt_token_ids[-_CONTEXT_TOKENS:])
        if self._decode(self._token_ids).endswith("\ufffd"):
            self._token_ids = []  # half a character cannot be told from the output's own bytes
        self._context = 0
        """[context, emitted) decodes to text already given; it tells how the next piece begins."""
        self._emitted = len(self._token_ids)

    def push(self, token_id: int) -> str:
        """The text that this token completes; "" while a character is incomplete."""
        self._token_ids.append(token_id)
        piece = self._pending()
        if piece.endswith("\ufffd"):
            return ""
        self._context, self._emitted = self._emitted, len(self._token_ids)
        return piece

    def flush(self) -> str:
        """What still waits, at the end of the output."""
        piece = self._pending()
        self._context = self._emitted = len(self._token_ids)
        return piece

    def _pending(self) -> str:
        before = self._decode(self._token_ids[self._context : self._emitted])
        return self._decode(self._token_ids[self._context :])[len(before) :]

    def _decode(self, token_ids: list[int]) -> str:
        return self._token_text.decode(token_ids, skip_special_tokens=self._skip_special_tokens)
