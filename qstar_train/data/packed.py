"""A source that is tokenised once: its windows in an order of their own for each epoch.

The token ids lie in an Arrow file that `datasets` caches and maps into memory. That file holds
documents, not windows: windows are cut when they are read, so it serves every window length.
"""

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qstar_infer.errors import ConfigError
from qstar_train.data.config import SourceSettings
from qstar_train.data.encoding import PlainEncoder, TokenIds
from qstar_train.data.sources import explained, missing_text, open_source, progress_bars

BATCH_DOCUMENTS = 256
"""Tokenised at once: at a megabyte a document, less than a gigabyte."""

_VERSION = 1
"""Raised when the code below changes its result, so that old caches are not used."""


class PackedSource:
    """Windows of a source that fits on disk.

    Args:
        settings: the source.
        encoder: makes its text token ids.
        window: tokens in a window.
        key: what the order depends on, besides the epoch: the seed and the source's number.

    Raises:
        ConfigError: as `open_source`; or there are fewer tokens than one window.
    """

    def __init__(
        self, settings: SourceSettings, encoder: PlainEncoder, *, window: int, key: tuple[int, ...]
    ) -> None:
        self._tokens = TokenColumn(_tokenised(settings, encoder))
        self._window = window
        self._key = key
        self._num_windows = len(self._tokens) // window
        if not self._num_windows:
            raise too_short(settings, num_tokens=len(self._tokens), window=window)

    def windows(self, start: int) -> Iterator[TokenIds]:
        """Windows `start`, `start + 1`, ... without end, each `[window], int32`."""
        epoch, first = divmod(start, self._num_windows)
        for number in count(epoch):
            for place in self._order(number)[first:]:
                offset = int(place) * self._window
                yield self._tokens.read(offset, offset + self._window)
            first = 0

    def digest(self) -> str:
        """Of the text as token ids: 16 hexadecimal digits."""
        return self._tokens.digest()

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """`[num_windows], int64`: a permutation.

        RandomState, because it alone promises the same numbers in every version of numpy.
        """
        bits = np.random.MT19937(np.random.SeedSequence((*self._key, epoch)))
        return np.random.RandomState(bits).permutation(self._num_windows)


class TokenColumn:
    """All token ids of a column of lists, one after the other, without copying them.

    Args:
        column: `list<int32>` without nulls.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        parts = [chunk.flatten().to_numpy(zero_copy_only=True) for chunk in column.chunks]
        self._parts: list[TokenIds] = [part for part in parts if len(part)]
        self._ends = np.cumsum([len(part) for part in self._parts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def digest(self) -> str:
        """Of all ids: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for part in self._parts:
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()[:16]

    def read(self, start: int, stop: int) -> TokenIds:
        """A copy of the ids in [start, stop), which must lie in the column."""
        pieces = []
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            part, end = self._parts[number], int(self._ends[number])
            offset = start - (end - len(part))
            pieces.append(part[offset : offset + stop - start])
            start, number = end, number + 1
        return np.concatenate(pieces)


def too_short(settings: SourceSettings, *, num_tokens: int, window: int) -> ConfigError:
    """The error of a source that does not fill one window."""
    return ConfigError(
        f"{settings.path} has {num_tokens} tokens, fewer than one window of {window}; "
        "give more text or shorter windows."
    )


def _tokenised(settings: SourceSettings, encoder: PlainEncoder) -> pa.ChunkedArray:
    """One list of token ids for each document."""

    def encode(table: pa.Table, rows: list[int]) -> pa.Table:
        column = table.column(settings.text_field)
        if column.null_count:
            raise missing_text(settings, rows[column.to_pylist().index(None)], None)
        encoded = encoder.encode(column.to_pylist(), where=settings.path)
        return pa.table({"ids": _as_lists(encoded)})

    dataset = open_source(settings)
    key = f"{_VERSION} {dataset._fingerprint} {encoder.fingerprint}"
    with explained(settings), progress_bars():
        tokenised: Any = dataset.with_format("arrow").map(
            encode,
            with_indices=True,
            batched=True,
            batch_size=BATCH_DOCUMENTS,
            remove_columns=dataset.column_names,
            # `datasets` would hash the function, and with it a tokenizer that does not hash alike.
            new_fingerprint=hashlib.sha256(key.encode()).hexdigest()[:32],
            desc=f"Tokenising {settings.path}",
        )
    return tokenised.data.column("ids")


def _as_lists(encoded: list[TokenIds]) -> pa.ListArray:
    offsets = np.zeros(len(encoded) + 1, dtype=np.int32)
    np.cumsum([len(ids) for ids in encoded], out=offsets[1:])
    values = np.concatenate([*encoded, np.empty(0, dtype=np.int32)])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
