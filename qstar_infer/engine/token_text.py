"""Text to token ids and back. Thread-safe: a tokenizer is only read."""

from collections.abc import Sequence as Items
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from qstar_infer.errors import RequestError


class TokenText:
    """Encodes and decodes with one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        # A token is decoded behind this one, because some tokenizers drop the space that a text
        # begins with.
        self._before: list[int] = tokenizer("a", add_special_tokens=False).input_ids[-1:]
        self._text_before = self.decode(self._before, skip_special_tokens=False)
        self.of_token = lru_cache(maxsize=65536)(lambda token_id: self.of_piece([token_id]))

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """
        Raises:
            RequestError: the text cannot be written in UTF-8 (it holds a lone surrogate).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the prompt holds {text[error.start]!r}, which is no character; send valid UTF-8",
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
        """The text of tokens from the middle of a text, special tokens included."""
        text = self.decode([*self._before, *token_ids], skip_special_tokens=False)
        return text.removeprefix(self._text_before)


_CHARACTER_TOKENS = 4
"""A character has at most so many bytes, and a token has at least one."""


class IncrementalDetokenizer:
    """Text of a growing output, never half a character.

    Text that ends in U+FFFD may be the first bytes of a character; it waits for the next token. Of
    a longer run of such tokens only the end can still become a character.
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
        self._token_ids = list(prompt_token_ids[-_CHARACTER_TOKENS:])
        if self._decode(self._token_ids).endswith("\ufffd"):
            self._token_ids = []  # half a character cannot be told from the output's own bytes
        self._emitted = len(self._token_ids)
        """[0, emitted) decodes to text already given; it tells how the next piece begins. It shows
        some text once the output does: behind nothing, a space would be lost."""

    def push(self, token_id: int) -> str:
        """The text that this token completes; "" while a character is incomplete."""
        self._token_ids.append(token_id)
        piece = self._text_of(len(self._token_ids))
        if not piece.endswith("\ufffd"):
            return self._settle(piece, len(self._token_ids))
        if len(self._token_ids) - self._emitted <= 2 * _CHARACTER_TOKENS:
            return ""
        for end in range(len(self._token_ids) - _CHARACTER_TOKENS, len(self._token_ids)):
            head = self._text_of(end)
            if head + self._decode(self._token_ids[end:]) == piece:
                return self._settle(head, end)
        return ""

    def flush(self) -> str:
        """What still waits, at the end of the output."""
        return self._settle(self._text_of(len(self._token_ids)), len(self._token_ids))

    def _settle(self, piece: str, end: int) -> str:
        """Give out the text up to token `end`; older tokens are not looked at again."""
        if not piece and self._decode(self._token_ids[: self._emitted]):
            del self._token_ids[self._emitted : end]  # as a special token that is skipped
            return piece
        del self._token_ids[: self._emitted]
        self._emitted = end - self._emitted
        return piece

    def _text_of(self, end: int) -> str:
        """What the tokens up to `end` add to the text already given."""
        before = self._decode(self._token_ids[: self._emitted])
        return self._decode(self._token_ids[:end])[len(before) :]

    def _decode(self, token_ids: list[int]) -> str:
        return self._token_text.decode(token_ids, skip_special_tokens=self._skip_special_tokens)
