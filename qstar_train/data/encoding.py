"""Encode plain text as token ids so that no text can contain a special token.

Uses a copy of the tokenizer, with `encode_special_tokens` on. The original does not keep that
switch: every call of its transformers wrapper resets it.
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
"""Encoded at once: an encoding takes about 100 bytes per token until its ids are extracted. A
longer document is cut where that does not change its ids."""

_LOOK_AROUND = 256
"""Characters on each side of a cut that are checked for a token across it."""

_MAX_TRIES = 32
"""How many ends of lines, and then how many spaces, are tried as cuts."""

TokenIds = NDArray[np.int32]


class PlainEncoder:
    """Encodes documents without special tokens, except for the end of sequence.

    Args:
        tokenizer: one of the `tokenizers` library ("fast").
        excluded_ids: ids that text must not encode to: the thought delimiters, and tokens without
            an embedding. Their names are encoded as plain text even if the tokenizer does not mark
            them as special.

    Raises:
        ConfigError: the tokenizer is not a fast one, or its end of sequence is excluded.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, excluded_ids: Sequence[int] = ()
    ) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ConfigError(
                f"Encoding text needs a tokenizer of the `tokenizers` library, "
                f"not a {type(tokenizer).__name__}. Use a model that has a tokenizer.json."
            )
        text = _as_plain_text(backend, excluded_ids)
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.encode_special_tokens = True
        state = json.loads(text)
        # Unigram scores a whole text; between equal segmentations rounding of the sum decides.
        self._can_cut = state["model"]["type"] != "Unigram" or state["pre_tokenizer"] is not None
        self._excluded_ids = np.array(sorted(set(excluded_ids)), dtype=np.int32)
        eos = tokenizer.eos_token_id
        if eos in excluded_ids:
            raise ConfigError(
                f"every document ends in {tokenizer.eos_token!r} (token {eos}), which the model "
                "has no embedding for, or which is a thought delimiter. Use the tokenizer that the "
                "model was trained with."
            )
        self._end: list[int] = [] if eos is None else [int(eos)]
        key = json.dumps([text, self._end, self._excluded_ids.tolist()])
        self.fingerprint = hashlib.sha256(key.encode()).hexdigest()
        """Differs if the ids of any text could differ."""

    def encode(self, documents: Sequence[str], *, where: str) -> list[TokenIds]:
        """Encode whole documents.

        Args:
            documents: their texts.
            where: their source, for errors.

        Returns:
            For each document `[num_tokens]`, int32: its ids, then the end of sequence if the
            tokenizer has one; no ids for an empty document.

        Raises:
            ConfigError: a document encodes to an excluded id.
        """
        pieces = [self._pieces(document) for document in documents]
        arrays = self._encode_each(chain.from_iterable(pieces))
        end = np.array(self._end, dtype=np.int32)
        encoded = []
        for of_document in pieces:
            ids = np.concatenate(list(islice(arrays, len(of_document))))
            encoded.append(np.concatenate([ids, end]) if ids.size else ids)
        self._check_allowed(encoded, where)
        return encoded

    def encode_alone(self, text: str) -> list[int]:
        """Encode one text as the tokenizer does, with the tokens that it adds at begin and end.

        Does not check for excluded ids.
        """
        return list(self._tokenizer.encode(text).ids)

    def _encode_each(self, texts: Iterable[str]) -> Iterator[TokenIds]:
        for batch in _batches(texts):
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                yield np.array(encoding.ids, dtype=np.int32)

    def _pieces(self, document: str) -> list[str]:
        """Cut a document into pieces of at most `MAX_BATCH_CHARACTERS` without changing its ids.

        If no cut is possible, the rest is one piece.
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
        """Whether no token spans the cut, judged by the text around it."""
        left = document[max(0, place - _LOOK_AROUND) : place]
        right = document[place : place + _LOOK_AROUND]
        whole, *halves = self._encode_each([left + right, left, right])
        return np.array_equal(whole, np.concatenate(halves))

    def _check_allowed(self, encoded: Sequence[TokenIds], where: str) -> None:
        if not self._excluded_ids.size:
            return
        for ids in encoded:
            found = self._excluded_ids[np.isin(self._excluded_ids, ids)]
            if found.size:
                token = self._tokenizer.id_to_token(int(found[0]))
                raise ConfigError(
                    f"{where} contains text that encodes to token {found[0]} ({token!r}), which is "
                    "a thought delimiter. Remove that text, or use other delimiters."
                )


def _as_plain_text(backend: Tokenizer, excluded_ids: Sequence[int]) -> str:
    """The tokenizer as JSON, without truncation and padding, the excluded ids marked special.

    Only tokens marked special are affected by `encode_special_tokens`.
    """
    state = json.loads(backend.to_str())
    state["truncation"] = state["padding"] = None
    for token in state["added_tokens"]:
        token["special"] = token["special"] or token["id"] in excluded_ids
    return json.dumps(state)


def _places(document: str, start: int) -> Iterator[int]:
    """Candidate ends of a piece that begins at `start`: after lines, then before spaces.

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
