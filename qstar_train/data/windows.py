"""The training stream: window `i` is a function of the seed and `i`.

The state of the data is therefore one number, and any process can compute any window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qstar_train.config import Packing, SourceConfig
from qstar_train.data.encoding import PlainEncoder, TokenIds
from qstar_train.data.window_sources import StreamedSource, TokenisedSource

BLOCK = 1 << 16
"""Sources are drawn for this many windows at once."""

_GOLDEN_RATIO = 0x9E3779B97F4A7C15
"""The golden ratio times 2 ** 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A piece of training text."""

    index: int
    """Its number in the whole stream, from 0."""
    source: int
    """Index of the source it came from."""
    token_ids: Tensor
    """`[tokens]`, int64: as many as a window has, or one whole document."""


class WindowStream:
    """Endless windows, drawn from sources by weight.

    Tokenises the sources that are not streamed, unless their tokens are cached.

    Args:
        sources: at least one.
        tokenizer: a fast one; it is not changed. Text that looks like a special token is encoded
            as plain text.
        window: tokens in a window, at least 1; of a document, the most.
        packing: how documents become windows.
        seed: at least 0.
        excluded_ids: ids that must not occur: the thought delimiters, and tokens without an
            embedding.

    Raises:
        ConfigError: a source cannot be read, contains an excluded id, has fewer tokens than one
            window, or has a document that is longer than the window that should hold it. For a
            streaming source `windows` raises it.
    """

    def __init__(
        self,
        sources: Sequence[SourceConfig],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        seed: int,
        packing: Packing = "stream",
        excluded_ids: Sequence[int] = (),
    ) -> None:
        encoder = PlainEncoder(tokenizer, excluded_ids)
        self._seed = seed
        self._weights = [source.weight for source in sources]
        self._sources = [
            StreamedSource(source, encoder, window=window, packing=packing)
            if source.streaming
            else TokenisedSource(
                source, encoder, window=window, packing=packing, key=(seed, number)
            )
            for number, source in enumerate(sources)
        ]

    def windows(self, start: int = 0) -> Iterator[Window]:
        """The stream from window number `start` on, without end.

        Raises:
            ConfigError: see the class.
        """
        readers: dict[int, Iterator[TokenIds]] = {}
        counts = self._counts_before(start)
        for index, number in self._numbers(start):
            if number not in readers:
                readers[number] = self._sources[number].windows(counts[number])
            ids = torch.from_numpy(next(readers[number]).astype(np.int64))
            yield Window(index=index, source=number, token_ids=ids)

    def digests(self) -> dict[str, str]:
        """A digest of each source's text, except for streams from the hub.

        Raises:
            ConfigError: a file of a stream cannot be read.
        """
        digests = enumerate(source.digest() for source in self._sources)
        return {f"data.sources.{number}": digest for number, digest in digests if digest}

    def ids_followed(self, wanted: Sequence[int]) -> set[int] | None:
        """Which of these ids have a token behind them in some window; None if a source is streamed,
        since nobody knows its text before it is read."""
        found: set[int] = set()
        for source in self._sources:
            if isinstance(source, StreamedSource):
                return None
            found |= source.ids_followed(wanted)
        return found

    def _numbers(self, start: int) -> Iterator[tuple[int, int]]:
        for block in count(start, BLOCK):
            numbers = draw_sources(self._weights, block, block + BLOCK, seed=self._seed)
            yield from enumerate(numbers.tolist(), start=block)

    def _counts_before(self, start: int) -> list[int]:
        """For each source, how many windows before `start` are drawn from it."""
        counts = np.zeros(len(self._weights), dtype=np.int64)
        for block in range(0, start, BLOCK):
            stop = min(start, block + BLOCK)
            numbers = draw_sources(self._weights, block, stop, seed=self._seed)
            counts += np.bincount(numbers, minlength=len(counts))
        return [int(count) for count in counts]


def draw_sources(
    weights: Sequence[float], start: int, stop: int, *, seed: int
) -> NDArray[np.int64]:
    """Which source each window in [start, stop) is drawn from.

    The points (a + i * golden ratio) mod 1 fill [0, 1) as evenly as possible for any range of `i`;
    source `s` gets the points in an interval as long as its share. So every batch has the sources
    in nearly the right proportions, which independent draws would not give. `a` comes from the
    seed.

    Returns:
        `[stop - start]`, int64: indices of sources.
    """
    offset = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    indices = np.arange(start, stop, dtype=np.uint64)
    points = offset + indices * np.uint64(_GOLDEN_RATIO)  # mod 2 ** 64: exact, unlike floats
    ends = np.cumsum(np.array(weights, dtype=np.float64))
    ends /= ends[-1]
    return np.searchsorted(ends[:-1], points / 2.0**64, side="right")
