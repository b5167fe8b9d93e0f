"""Windows of one source: tokenised once and shuffled in each epoch, or tokenised while it is read.

A window is a piece of the joined documents, one whole document, or as many whole ones as fit.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from qstar_infer.errors import ConfigError
from qstar_train.config import Packing, SourceConfig
from qstar_train.data.encoding import PlainEncoder, TokenIds
from qstar_train.data.sources import documents, explained, local_files
from qstar_train.data.tokenised import tokenised

STREAMED_DOCUMENTS = 32
"""Documents of a stream that are read ahead of the requested window."""


class TokenisedSource:
    """Windows of a source that fits on disk.

    Args:
        config: the source.
        encoder: encodes its text.
        window: tokens in a window; of whole documents, the most.
        packing: how documents become windows.
        key: what the order depends on besides the epoch: the seed and the source's number.

    Raises:
        ConfigError: see `tokenised`; the source has fewer tokens than one window; or a document is
            longer than a window that should hold it.
    """

    def __init__(
        self,
        config: SourceConfig,
        encoder: PlainEncoder,
        *,
        window: int,
        packing: Packing,
        key: tuple[int, ...],
    ) -> None:
        text = tokenised(config, encoder)
        self._tokens = text.tokens
        self._packing = packing
        self._key = key
        if packing != "stream":
            _check_lengths(config, text.lengths, window=window)
            lengths = text.lengths[text.lengths > 0]
            if packing == "documents":
                lengths = _grouped(lengths, window=window)
            ends = lengths.cumsum()
            self._bounds = np.stack([ends - lengths, ends], axis=1)
        else:
            starts = np.arange(len(text.tokens) // window) * window
            self._bounds = np.stack([starts, starts + window], axis=1)
        if not len(self._bounds):
            raise _too_short(config, num_tokens=len(text.tokens), window=window)

    def windows(self, start: int) -> Iterator[TokenIds]:
        """Windows `start`, `start + 1`, ... without end, each `[tokens]`, int32."""
        epoch, first = divmod(start, len(self._bounds))
        for number in count(epoch):
            for begin, end in self._bounds[self._order(number)[first:]].tolist():
                yield self._tokens.slice(begin, end - begin).to_numpy()
            first = 0

    def ids_followed(self, wanted: Sequence[int]) -> set[int]:
        """Which of these ids have a token behind them in some window."""
        found: set[int] = set()
        begin = 0
        for chunk in self._tokens.chunks:
            ids = chunk.to_numpy()
            places = np.flatnonzero(np.isin(ids, wanted))
            # The window of each place; the tokens after the last window are in none.
            window = np.searchsorted(self._bounds[:, 1], begin + places, side="right")
            is_inside = window < len(self._bounds)
            places, window = places[is_inside], window[is_inside]
            is_followed = begin + places + 1 < self._bounds[window, 1]
            found.update(np.unique(ids[places[is_followed]]).tolist())
            begin += len(ids)
        return found

    def digest(self) -> str:
        """A digest of the windows: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for chunk in self._tokens.chunks:
            digest.update(np.ascontiguousarray(chunk.to_numpy()).data)
        if self._packing != "stream":  # else the settings say where windows begin
            digest.update(self._bounds.tobytes())
        return digest.hexdigest()[:16]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """A permutation of the windows, `[num_windows]`, int64.

        Uses RandomState: only it promises the same numbers in every version of numpy.
        """
        bits = np.random.MT19937(np.random.SeedSequence((*self._key, epoch)))
        return np.random.RandomState(bits).permutation(len(self._bounds))


class StreamedSource:
    """Windows of a stream.

    Args:
        config: the source.
        encoder: encodes its text.
        window: tokens in a window; of whole documents, the most.
        packing: how documents become windows.
    """

    def __init__(
        self, config: SourceConfig, encoder: PlainEncoder, *, window: int, packing: Packing
    ) -> None:
        self._config = config
        self._encoder = encoder
        self._window = window
        passes = {
            "stream": self._joined,
            "document": self._documents,
            "documents": self._grouped,
        }
        self._one_pass = passes[packing]

    def windows(self, start: int) -> Iterator[TokenIds]:
        """Windows `start`, `start + 1`, ... without end, each `[tokens]`, int32.

        Reads and drops the windows before `start`, in at most one pass over the source.

        Raises:
            ConfigError: see `documents`; the source has fewer tokens than one window; or a document
                is longer than a window that should hold it.
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

    def _documents(self) -> Iterator[TokenIds]:
        num_read, is_empty = 0, True
        for encoded in self._encoded():
            lengths = np.array([len(ids) for ids in encoded])
            _check_lengths(self._config, lengths, window=self._window, first=num_read)
            num_read += len(encoded)
            for ids in encoded:
                if ids.size:
                    is_empty = False
                    yield ids
        if is_empty:
            raise _too_short(self._config, num_tokens=0, window=self._window)

    def _grouped(self) -> Iterator[TokenIds]:
        group: list[TokenIds] = []
        for ids in self._documents():
            if sum(map(len, group)) + len(ids) > self._window:
                yield np.concatenate(group)
                group = []
            group.append(ids)
        yield np.concatenate(group)

    def _joined(self) -> Iterator[TokenIds]:
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


def _grouped(lengths: NDArray[np.int64], *, window: int) -> NDArray[np.int64]:
    """Lengths of the groups of neighbours, each as large as fits a window.

    Args:
        lengths: `[num_documents]`, each from 1 to `window`.
    """
    groups: list[int] = []
    for length in lengths.tolist():
        if groups and groups[-1] + length <= window:
            groups[-1] += length
        else:
            groups.append(length)
    return np.array(groups, dtype=np.int64)


def _check_lengths(
    config: SourceConfig, lengths: NDArray[np.int64], *, window: int, first: int = 0
) -> None:
    """Check that each document fits a window.

    Args:
        lengths: `[num_documents]`, in tokens.
        first: the number of the first of them.
    """
    if lengths.max(initial=0) > window:
        number = int((lengths > window).argmax())
        raise ConfigError(
            f"{config.path}: document {first + number} has {lengths[number]} tokens, its end "
            f"included, which is more than data.window = {window}. Only data.packing = stream cuts "
            "documents: raise data.window, or shorten or remove the document."
        )


def _too_short(config: SourceConfig, *, num_tokens: int, window: int) -> ConfigError:
    """The error for a source that does not fill one window."""
    return ConfigError(
        f"{config.path} has {num_tokens} tokens, fewer than one window of {window}. "
        "Give more text or shorter windows."
    )
