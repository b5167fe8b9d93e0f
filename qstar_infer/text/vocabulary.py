"""What each token of a vocabulary adds to a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from qstar_infer.text.token_bytes import (
    byte_level_bytes,
    fallback_byte,
    has_fallback_bytes,
    is_byte_level,
)
from qstar_infer.text.utf8 import Replacement

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CACHE_SIZE = 65536
_NUM_ANCHOR_CANDIDATES = 4096


@dataclass(frozen=True, slots=True)
class Token:
    """What is known about a token without its surroundings."""

    token_id: int
    raw: bytes | None
    """The bytes that it adds to any text; empty for an id without a token. None: its text depends
    on the tokens before it."""
    is_special: bool
    """Whether `skip_special_tokens` leaves it out."""


class Vocabulary:
    """Reads tokens through their tokenizer's decoder.

    Attributes:
        anchor: a token with ordinary text, if tokens depend on those before them. What is decoded
            behind it is not at the start of a text, where some decoders drop a space.
        replacement: how bytes that are no character are shown.
        token: a function from an id to its `Token`.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._size = len(tokenizer)
        self._is_byte_level = is_byte_level(tokenizer)
        self._has_fallback_bytes = not self._is_byte_level and has_fallback_bytes(tokenizer)
        self.replacement: Replacement = (
            "qstar-replace-bytes" if self._has_fallback_bytes else "replace"
        )
        self.token = lru_cache(_CACHE_SIZE)(self._token)
        self.text_after = lru_cache(_CACHE_SIZE)(self._text_after)
        self._decoded = lru_cache(_CACHE_SIZE)(self._decode)
        self.anchor: tuple[int, ...] = () if self._is_byte_level else self._find_anchor()

    @cached_property
    def ids(self) -> dict[str, int]:
        """Name -> id of each token. Made once, when it is needed: there may be 250,000."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return ids

    def bytes_of(self, token_id: int) -> bytes:
        """The bytes that a token adds in the middle of a text; empty if it has none.

        Empty for special tokens too, and for one that is a part of a character in an unknown way.
        """
        name = self.name(token_id)
        if name is None or (token_id in self._added_ids and self._is_special(token_id)):
            return b""
        raw = self._raw(name)
        text = self._text_after(self.anchor, token_id) if raw is None else ""
        return b"" if "\ufffd" in text else raw or text.encode()

    @cached_property
    def _added_ids(self) -> frozenset[int]:
        """Ids of tokens that were added to the vocabulary; special ones are among them."""
        return frozenset(self._tokenizer.added_tokens_decoder)

    def name(self, token_id: int) -> str | None:
        """None for an id without a token, such as a padding row of the embedding."""
        if token_id >= self._size:
            return None
        name: str | None = self._tokenizer.convert_ids_to_tokens([token_id])[0]
        return name

    def _text_after(self, before: tuple[int, ...], token_id: int) -> str:
        """The text that a token adds after the tokens that its text may depend on."""
        return self._decode((*before, token_id))[len(self._decoded(before)) :]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The decoder's own text; ids without a token must not be among them."""
        if not token_ids:
            return ""
        text = self._tokenizer.decode(
            list(token_ids),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        assert isinstance(text, str)
        return text

    def _decode(self, token_ids: tuple[int, ...]) -> str:
        return self.decode(token_ids, skip_special_tokens=False)

    def _token(self, token_id: int) -> Token:
        name = self.name(token_id)
        if name is None:
            return Token(token_id, raw=b"", is_special=False)
        return Token(token_id, raw=self._raw(name), is_special=self._is_special(token_id))

    def _raw(self, name: str) -> bytes | None:
        if self._is_byte_level:
            return byte_level_bytes(name)
        raw = fallback_byte(name) if self._has_fallback_bytes else None
        # An ASCII byte is a whole character, which the decoder may drop like any other.
        return None if raw is None or raw.isascii() else raw

    def _is_special(self, token_id: int) -> bool:
        before = self._decoded(self.anchor)
        token_ids = (*self.anchor, token_id)
        is_shown = self._decode(token_ids) != before
        return is_shown and self.decode(token_ids, skip_special_tokens=True) == before

    def _find_anchor(self) -> tuple[int, ...]:
        of_letter: list[int] = self._tokenizer("a", add_special_tokens=False).input_ids
        for token_id in (*of_letter, *range(min(self._size, _NUM_ANCHOR_CANDIDATES))):
            name = self.name(token_id)
            if name is None or self._raw(name) is not None:
                continue
            text = self.decode([token_id], skip_special_tokens=True)
            if text.strip() and "\ufffd" not in text:
                return (token_id,)
        return ()
