"""Windows of one source: tokenised once and shuffled in each epoch, or tokenised while it is read.

The ids of a source that is tokenised once are in an Arrow file that `datasets` caches and maps into
memory. It holds documents; windows are cut when they are read, so one file serves every length.
"""

import hashlib
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.data.encoding import PlainEncoder, TokenIds
from qstar_train.data.sources import (
    documents,
    explained,
    local_files,
    missing_text,
    open_source,
    progress_bars,
)

BATCH_DOCUMENTS = 256
"""Tokenised at once; less than a gigabyte even at a megabyte per document."""
STREAMED_DOCUMENTS = 32
"""Documents of a stream that are read ahead of the requested window."""

_VERSION = 1
"""Increase it when the code below changes its result, so that old caches are not used."""


class PackedSource:
    """Windows of a source that fits on disk.

    Args:
        config: the source.
        encoder: encodes its text.
        window: tokens in a window.
        key: what the order depends on besides the epoch: the seed and the source's number.

    Raises:
        ConfigError: see `open_source`; or the source has fewer tokens than one window.
    """

    def __init__(
        self, config: SourceConfig, encoder: PlainEncoder, *, window: int, key: tuple[int, ...]
    ) -> None:
        self._tokens = _tokenised(config, encoder)
        self._window = window
        self._key = key
        self._num_windows = len(self._tokens) // window
        if not self._num_windows:
            raise _too_short(config, num_tokens=len(self._tokens), window=window)

    def windows(self, start: int) -> Iterator[TokenIds]:
        """Windows `start`, `start + 1`, ... without end, each `[window]`, int32."""
        epoch, first = divmod(start, self._num_windows)
        for number in count(epoch):
            for place in self._order(number)[first:]:
                offset = int(place) * self._window
                yield self._tokens.slice(offset, self._window).to_numpy()
            first = 0

    def digest(self) -> str:
        """A digest of the token ids: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for chunk in self._tokens.chunks:
            digest.update(np.ascontiguousarray(chunk.to_numpy()).data)
        return digest.hexdigest()[:16]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """A permutation of the windows, `[num_windows]`, int64.

        Uses RandomState: only it promises the same numbers in every version of numpy.
        """
        bits = np.random.MT19937(np.random.SeedSequence((*self._key, epoch)))
        return np.random.RandomState(bits).permutation(self._num_windows)


class StreamedSource:
    """Windows of a stream.

    Args:
        config: the source.
        encoder: encodes its text.
        window: tokens in a window.
    """

    def __init__(self, config: SourceConfig, encoder: PlainEncoder, *, window: int) -> None:
        self._config = config
        self._encoder = encoder
        self._window = window

    def windows(self, start: int) -> Iterator[TokenIds]:
        """Windows `start`, `start + 1`, ... without end, each `[window]`, int32.

        Reads and drops the windows before `start`, in at most one pass over the source.

        Raises:
            ConfigError: see `documents`; or the source has fewer tokens than one window.
        """
        num_dropped = start
        while True:
            num_windows = 0
            for ids in self._one_pass():
                if num_windows >= num_dropped:
                    yield ids
                num_windows += 1
            num_dropped = max(0, num_dropped - num_windows) % num_windows

    def digest(self) -> str | None:
        """A digest of the files: 16 hexadecimal digits; None for a stream from the hub.

        Raises:
            ConfigError: a file cannot be read.
        """
        with explained(self._config):
            files = local_files(self._config.path)
            if files is None:
                return None
            digest = hashlib.sha256()
            for path in files:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            return digest.hexdigest()[:16]

    def _one_pass(self) -> Iterator[TokenIds]:
        num_tokens = 0
        rest = np.empty(0, dtype=np.int32)
        for encoded in self._encoded():
            num_tokens += sum(len(ids) for ids in encoded)
            ids = np.concatenate([rest, *encoded])
            end = len(ids) - len(ids) % self._window
            yield from ids[:end].reshape(-1, self._window)
            rest = ids[end:]
        if num_tokens < self._window:
            raise _too_short(self._config, num_tokens=num_tokens, window=self._window)

    def _encoded(self) -> Iterator[list[TokenIds]]:
        texts = documents(self._config)
        while batch := list(islice(texts, STREAMED_DOCUMENTS)):
            yield self._encoder.encode(batch, where=self._config.path)


def _too_short(config: SourceConfig, *, num_tokens: int, window: int) -> ConfigError:
    """The error for a source that does not fill one window."""
    return ConfigError(
        f"{config.path} has {num_tokens} tokens, fewer than one window of {window}. "
        "Give more text or shorter windows."
    )


def _tokenised(config: SourceConfig, encoder: PlainEncoder) -> pa.ChunkedArray:
    """The token ids of all documents, int32, mapped into memory."""

    def encode(table: pa.Table, rows: list[int]) -> pa.Table:
        column = table.column(config.text_field)
        if column.null_count:
            raise missing_text(config, rows[column.to_pylist().index(None)], None)
        encoded = encoder.encode(column.to_pylist(), where=config.path)
        return pa.table({"ids": pa.array(encoded, type=pa.list_(pa.int32()))})

    dataset = open_source(config)
    key = f"{_VERSION} {dataset._fingerprint} {encoder.fingerprint}"
    with explained(config), progress_bars():
        tokenised: Any = dataset.with_format("arrow").map(
            encode,
            with_indices=True,
            batched=True,
            batch_size=BATCH_DOCUMENTS,
            remove_columns=dataset.column_names,
            # `datasets` would hash the function and its tokenizer, whose hash is not stable.
            new_fingerprint=hashlib.sha256(key.encode()).hexdigest()[:32],
            desc=f"Tokenising {config.path}",
        )
    documents = tokenised.data.column("ids").chunks
    return pa.chunked_array([chunk.flatten() for chunk in documents], type=pa.int32())
