"""The beginning of a sequence, which all its rows see: attended once, where it lies in the pool."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from qstar_infer.attention.in_place.flash import Partial, flash

SHORTEST = 1024
"""Shortest prefix worth calls of its own, in tokens; gathering a shorter one costs less."""
PIECE = 256
"""Length of the pieces that a prefix is cut into, so that all threads have work."""
MOST_ROWS_IN_PIECES = 16
"""Most rows for which a prefix is cut: with more, the rows are enough work for all threads."""
MOST_RUNS = 4
"""Most runs of adjacent slots that are attended in place. A prefix in more runs is gathered."""


def prefix_length(shortest_context: int) -> int:
    """Length of the prefix of a sequence, in tokens; 0 if it is too short.

    Args:
        shortest_context: least `context_len` of its rows. Its last token is left for the rest,
            where each row must see something.
    """
    length = (shortest_context - 1) // PIECE * PIECE
    return length if length >= SHORTEST else 0


class Prefix:
    """The first tokens of one sequence."""

    def __init__(
        self, block_table: Sequence[int], length: int, *, block_size: int, num_rows: int
    ) -> None:
        """
        Args:
            length: as `prefix_length` returns it, at least 1.
            num_rows: rows of the sequence in this step.
        """
        runs = list(_runs(block_table, length, block_size))
        longest_piece = PIECE if num_rows <= MOST_ROWS_IN_PIECES else length
        self._slots: Tensor | None = None
        if len(runs) > MOST_RUNS:
            self._slots = torch.cat([torch.arange(run.start, run.stop) for run in runs])
            runs = [range(length)]
        self._pieces = [piece for run in runs for piece in _pieces(run, longest_piece)]

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> list[Partial]:
        """Attention over the prefix.

        Args:
            query: `[kv_heads, rows, dim]`, heads folded into the rows.
            keys, values: `[kv_heads, num_slots, dim]`.
        """
        if self._slots is not None:
            keys, values = keys.index_select(1, self._slots), values.index_select(1, self._slots)
        return [
            flash(
                query.expand(len(slots) // length, *query.shape),
                _cut(keys, slots, length),
                _cut(values, slots, length),
                None,
                scale,
            )
            for slots, length in self._pieces
        ]


def _runs(block_table: Sequence[int], length: int, block_size: int) -> Iterator[range]:
    """The adjacent slots of the first `length` tokens."""
    start = end = block_table[0] * block_size
    for number in range(-(-length // block_size)):
        block = block_table[number]
        if block * block_size != end:
            yield range(start, end)
            start = block * block_size
        end = block * block_size + min(block_size, length - number * block_size)
    yield range(start, end)


def _pieces(run: range, longest: int) -> Iterator[tuple[range, int]]:
    """Cut a run into slots that are a multiple of a piece's length, and that length."""
    length = min(longest, len(run))
    rest = len(run) % length
    yield run[: len(run) - rest], length
    if rest:
        yield run[len(run) - rest :], rest


def _cut(pool: Tensor, slots: range, length: int) -> Tensor:
    """`[kv_heads, num_slots, dim]` to `[pieces, kv_heads, length, dim]`, a view."""
    kv_heads, _, dim = pool.shape
    run = pool[:, slots.start : slots.stop]
    return run.view(kv_heads, -1, length, dim).transpose(0, 1)
