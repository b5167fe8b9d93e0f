"""Converts text to token ids and back. Thread-safe: the tokenizer is only read."""

import logging
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from qstar_infer.engine.protocol import TokenizerInfo
from qstar_infer.errors import RequestError
from qstar_infer.text.detokenizer import IncrementalDetokenizer, offsets_of
from qstar_infer.text.prompt_offsets import prompt_offsets
from qstar_infer.text.tokenizer_info import tokenizer_info
from qstar_infer.text.utf8 import Piece
from qstar_infer.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


class TokenText:
    """Encodes and decodes with one tokenizer."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._vocabulary = Vocabulary(tokenizer)
        self._has_warned_of_bos = False
        self.of_token = lru_cache(maxsize=65536)(lambda token_id: self.of_piece([token_id]))

    @cached_property
    def info(self) -> TokenizerInfo:
        """Facts about the tokenizer."""
        return tokenizer_info(self._tokenizer)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text. The first that gets a second beginning of sequence is logged.

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
        bos = self._tokenizer.bos_token_id
        is_double = add_special_tokens and bos is not None and ids[:2] == [bos, bos]
        if is_double and not self._has_warned_of_bos:
            self._has_warned_of_bos = True  # a request can hold many, and the next ones as well
            logger.warning(
                "a prompt begins with %r, and the tokenizer adds it again, so that the model gets "
                "two. Leave it out of the prompt, or send add_special_tokens: false",
                self._tokenizer.bos_token,
            )
        return ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids. Ids without a token have none."""
        return _joined(self.detokenizer(skip_special_tokens=skip_special_tokens), token_ids)

    def of_piece(self, token_ids: Sequence[int]) -> str:
        """The text of tokens as in the middle of a longer text, special tokens included."""
        if not token_ids:
            return ""
        middle = self.detokenizer(self._vocabulary.anchor, skip_special_tokens=False)
        return _joined(middle, token_ids)

    def bytes_of_token(self, token_id: int) -> bytes:
        """What a token stands for in the middle of a text: perhaps a part of a character."""
        raw = self._vocabulary.token(token_id).raw
        return self.of_token(token_id).encode() if raw is None else raw

    def id_of(self, name: str) -> int | None:
        """The id of a token by its name in the vocabulary; None if there is no such token."""
        return self._vocabulary.ids.get(name)

    def token_bytes(self, vocab_size: int) -> list[bytes]:
        """The bytes that each id adds in the middle of a text.

        Empty for special tokens, for ids without a token, and where they are not known. Takes a
        second or two for a large vocabulary.
        """
        return [self._vocabulary.bytes_of(token_id) for token_id in range(vocab_size)]

    def names(self, token_ids: Sequence[int]) -> list[str]:
        """The name of each token in the vocabulary; "" for an id without a token."""
        return [self._vocabulary.name(token_id) or "" for token_id in token_ids]

    def detokenizer(
        self, context: Sequence[int] = (), *, skip_special_tokens: bool
    ) -> IncrementalDetokenizer:
        """Decodes a growing output after `context`; see `IncrementalDetokenizer`."""
        return IncrementalDetokenizer(
            self._vocabulary, context, skip_special_tokens=skip_special_tokens
        )

    def offsets(
        self, token_ids: Sequence[int], *, text: str | None = None, skip_special_tokens: bool = True
    ) -> list[int]:
        """Where each token begins in its text, in characters; never decreasing.

        Args:
            text: the text that was encoded to these tokens, with or without special tokens. The
                first token begins at its start; tokens that the tokenizer added have no characters.
                None: `decode(token_ids)`.
            skip_special_tokens: as for `decode`; not used with a text.
        """
        if text is not None:
            return self._offsets_in(text, token_ids)
        return offsets_of(self._pieces(token_ids, skip_special_tokens=skip_special_tokens))

    def _offsets_in(self, text: str, token_ids: Sequence[int]) -> list[int]:
        found = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=self._tokenizer.is_fast
        )
        plain: list[int] = found.input_ids
        num_before = _position(plain, token_ids)
        if num_before is None:
            offsets = prompt_offsets(text, self._pieces(token_ids), None)
        else:
            num_after = len(token_ids) - num_before - len(plain)
            inner = prompt_offsets(text, self._pieces(plain), found.get("offset_mapping"))
            offsets = [*[0] * num_before, *inner, *[len(text)] * num_after]
        return [0, *offsets[1:]][: len(token_ids)]

    def _pieces(
        self, token_ids: Sequence[int], *, skip_special_tokens: bool = False
    ) -> list[Piece]:
        detokenizer = self.detokenizer(skip_special_tokens=skip_special_tokens)
        return [detokenizer.push(token_id) for token_id in token_ids]


def _joined(detokenizer: IncrementalDetokenizer, token_ids: Sequence[int]) -> str:
    text = "".join([detokenizer.push(token_id).text for token_id in token_ids])
    return text + detokenizer.flush()


def _position(part: Sequence[int], whole: Sequence[int]) -> int | None:
    """Where a part begins in a whole; None if it is not there."""
    starts = range(len(whole) - len(part) + 1)
    return next((at for at in starts if whole[at : at + len(part)] == part), None)
