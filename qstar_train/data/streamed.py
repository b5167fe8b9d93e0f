"""A source too large to tokenise first: its windows in its own order, over again at its end."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from qstar_train.data.config import SourceSettings
from qstar_train.data.encoding import PlainEncoder, TokenIds
from qstar_train.data.packed import too_short
from qstar_train.data.sources import digest_of_files, documents

BATCH_DOCUMENTS = 32
"""Read ahead of the window asked for."""


class StreamedSource:
    """Windows of a stream.

    Args:
        settings: the source.
        encoder: makes its text token ids.
        window: tokens in a window.
    """

    def __init__(self, settings: SourceSettings, encoder: PlainEncoder, *, window: int) -> None:
        self._settings = settings
        self._encoder = encoder
        self._window = window

    def windows(self, start: int) -> Iterator[TokenIds]:
        """Windows `start`, `start + 1`, ... without end, each `[window], int32`.

        Those before `start` are read and dropped, in one pass over the source at most.

        Raises:
            ConfigError: as `documents`; or there are fewer tokens than one window.
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
        """Of the files: 16 hexadecimal digits; None of a stream from the hub, which is not read.

        Raises:
            ConfigError: a file cannot be read.
        """
        return digest_of_files(self._settings)

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
            raise too_short(self._settings, num_tokens=num_tokens, window=self._window)

    def _encoded(self) -> Iterator[list[TokenIds]]:
        texts = documents(self._settings)
        while batch := list(islice(texts, BATCH_DOCUMENTS)):
            yield self._encoder.encode(batch, where=self._settings.path)
