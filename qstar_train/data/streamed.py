"""A source that is tokenised while it is read: its windows in its own order, then again."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from qstar_train.config import SourceConfig
from qstar_train.data.encoding import PlainEncoder, TokenIds
from qstar_train.data.packed import too_short
from qstar_train.data.sources import digest_of_files, documents

BATCH_DOCUMENTS = 32
"""Documents read ahead of the requested window."""


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
        return digest_of_files(self._config)

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
            raise too_short(self._config, num_tokens=num_tokens, window=self._window)

    def _encoded(self) -> Iterator[list[TokenIds]]:
        texts = documents(self._config)
        while batch := list(islice(texts, BATCH_DOCUMENTS)):
            yield self._encoder.encode(batch, where=self._config.path)
