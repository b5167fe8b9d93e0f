"""Plain text to token ids, such that no text can smuggle a special token in.

Owns a copy of the tokenizer. The given one stays as it was: `encode_special_tokens` is a switch of
the tokenizer behind it, which every call of the wrapper sets anew, so it would not hold there.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from qstar_infer.errors import ConfigError

MAX_BATCH_CHARACTERS = 1 << 20
"""Encoded at once: an encoding takes some 100 bytes a token until its ids are taken out. A longer
document is cut, where that does not change its ids."""

_LOOK_AROUND = 256
"""Characters on each side of a place that show whether a document may be cut there."""

_MAX_TRIES = 32
"""Ends of lines, then spaces, that are tried as places to cut."""

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
                f"Training text needs a tokenizer of the `tokenizers` library, "
                f"not a {type(tokenizer).__name__}; give a model that has a tokenizer.json."
            )
        text = _as_plain_text(backend, excluded_ids)
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.encode_special_tokens = True
        state = json.loads(text)
        # Unigram weighs a whole text: where two ways are alike, the rounding of its sum decides.
        self._can_cut = state["model"]["type"] != "Unigram" or state["pre_tokenizer"] is not None
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
        pieces = [self._pieces(document) for document in documents]
        arrays = self._encode_each(chain.from_iterable(pieces))
        end = np.array(self._end, dtype=np.int32)
        encoded = []
        for of_document in pieces:
            ids = np.concatenate(list(islice(arrays, len(of_document))))
            encoded.append(np.concatenate([ids, end]) if ids.size else ids)
        self._require_allowed(encoded, where)
        return encoded

    def _encode_each(self, texts: Iterable[str]) -> Iterator[TokenIds]:
        for batch in _batches(texts):
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                yield np.array(encoding.ids, dtype=np.int32)

    def _pieces(self, document: str) -> list[str]:
        """A document in pieces of at most `MAX_BATCH_CHARACTERS`, whose ids in a row are its own.

        Where there is no place to cut it, the rest of it is one piece.
        """
        cuts = [0]
        while self._can_cut and len(document) - cuts[-1] > MAX_BATCH_CHARACTERS:
            places = _places(document, cuts[-1])
            place = next((each for each in places if self._may_cut(document, each)), None)
            if place is None:
                break
            cuts.append(place)
        return [document[start:stop] for start, stop in pairwise([*cuts, len(document)])]

    def _may_cut(self, document: str, place: int) -> bool:
        """Whether no token reaches over the place, as far as the text around it shows."""
        left = document[max(0, place - _LOOK_AROUND) : place]
        right = document[place : place + _LOOK_AROUND]
        whole, *halves = self._encode_each([left + right, left, right])
        return np.array_equal(whole, np.concatenate(halves))

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


def _places(document: str, start: int) -> Iterator[int]:
    """Where a piece that begins at `start` may end: after the last lines, before the last spaces.

    Pieces have at least half the allowed length.
    """
    for mark, beyond in (("\n", 1), (" ", 0)):
        place = start + MAX_BATCH_CHARACTERS
        for _ in range(_MAX_TRIES):
            place = document.rfind(mark, start + MAX_BATCH_CHARACTERS // 2, place)
            if place < 0:
                break
            yield place + beyond


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
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
