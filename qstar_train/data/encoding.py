"""Plain text to token ids, such that no text can smuggle a special token in.

Owns a copy of the tokenizer. The given one stays as it was: `encode_special_tokens` is a switch of
the tokenizer behind it, which every call of the wrapper sets anew, so it would not hold there.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from qstar_infer.errors import ConfigError

MAX_BATCH_CHARACTERS = 1 << 20
"""Encoded at once: an encoding takes some 100 bytes a token until its ids are taken out."""

TokenIds = NDArray[np.int32]


class PlainEncoder:
    """Encodes documents as a model reads them: no special token but the end of sequence.

    Args:
        tokenizer: one of the `tokenizers` library ("fast").
        excluded_ids: ids that no text may encode to: the thought delimiters. Their names are
            encoded as plain text even where the tokenizer does not call them special.

    Raises:
        ConfigError: the tokenizer is not a fast one.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, excluded_ids: Sequence[int] = ()
    ) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ConfigError(
                f"Text needs a tokenizer of the `tokenizers` library, "
                f"not a {type(tokenizer).__name__}; give a model that has a tokenizer.json."
            )
        text = _as_plain_text(backend, excluded_ids)
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.encode_special_tokens = True
        self._excluded_ids = np.array(sorted(set(excluded_ids)), dtype=np.int32)
        eos = tokenizer.eos_token_id
        self._end: list[int] = [] if eos is None else [int(eos)]
        key = json.dumps([text, self._end, self._excluded_ids.tolist()])
        self.fingerprint = hashlib.sha256(key.encode()).hexdigest()
        """Changes whenever the ids of some text could."""

    def encode(self, documents: Sequence[str], *, where: str) -> list[TokenIds]:
        """Encode whole documents.

        Args:
            documents: their texts.
            where: the source they are of, for the error.

        Returns:
            For each document `[num_tokens], int32`: its ids, then the end of sequence where the
            tokenizer has one; nothing for an empty document.

        Raises:
            ConfigError: a document holds an excluded id.
        """
        encoded = []
        for batch in _batches(documents):
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                ids = encoding.ids
                encoded.append(np.array(ids + self._end if ids else ids, dtype=np.int32))
        self._require_allowed(encoded, where)
        return encoded

    def encode_alone(self, text: str) -> list[int]:
        """Encode one text as the tokenizer itself does: with what it begins (or ends) a text with.

        Excluded ids are not refused here.
        """
        return list(self._tokenizer.encode(text).ids)

    def _require_allowed(self, encoded: Sequence[TokenIds], where: str) -> None:
        if not self._excluded_ids.size:
            return
        for ids in encoded:
            found = self._excluded_ids[np.isin(self._excluded_ids, ids)]
            if found.size:
                token = self._tokenizer.id_to_token(int(found[0]))
                raise ConfigError(
                    f"{where} holds text that encodes to token {found[0]} ({token!r}), which is "
                    "kept for thoughts; take that text out, or give the thoughts other delimiters."
                )


def _as_plain_text(backend: Tokenizer, excluded_ids: Sequence[int]) -> str:
    """The tokenizer as JSON, uncut and unpadded, with the excluded ids marked special.

    Only tokens marked special are affected by `encode_special_tokens`.
    """
    state = json.loads(backend.to_str())
    state["truncation"] = state["padding"] = None
    for token in state["added_tokens"]:
        token["special"] = token["special"] or token["id"] in excluded_ids
    return json.dumps(state)


def _batches(documents: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        if batch and size + len(document) > MAX_BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document)
    if batch:
        yield batch
