"""What the kernel has to know of a step: its rows, block tables, and the items of work."""

import ctypes
from array import array
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import torch

from qstar_infer.attention.paged.library import MAX_QUERIES, SECTION, Step
from qstar_infer.step import NO_LANE, StepBatch

_ITEMS_PER_THREAD = 4
"""So many items are enough for all threads to end at about the same time."""
_FEWEST_TO_HALVE = 8
"""Fewest queries that are worth loading keys twice."""
_WIDEST_VECTOR = 16


class StepArrays:
    """Arrays that layers of all shapes share."""

    def __init__(self, batch: StepBatch) -> None:
        self.batch = batch
        self.broken = torch.zeros(batch.num_rows, dtype=torch.uint8)
        self.sequences, self.rows, self.tables = array("i"), array("i"), array("i")
        first = 0
        for seq in batch.sequences:
            self.sequences.extend((first, seq.num_rows, len(self.tables)))
            self.tables.extend(seq.block_table)
            lane_tables = {NO_LANE: -1}
            for lane, table in enumerate(seq.lane_tables):
                lane_tables[lane] = len(self.tables)
                self.tables.extend(table)
            for row in range(first, first + seq.num_rows):
                lane = batch.row_lanes[row]
                lane_len = 0 if lane == NO_LANE else batch.lane_lens[row]
                self.rows.extend(
                    (batch.slots[row], batch.context_lens[row], lane_tables[lane], lane_len)
                )
            first += seq.num_rows


@dataclass(slots=True)
class _Items:
    """Work of the threads; each number is one of the fields of `Item` in `paged_attention.c`."""

    numbers: "array[int]" = field(default_factory=lambda: array("i"))
    num_partials: int = 0


class Plan:
    """A `Step` for layers of one shape, and the memory that it points to."""

    def __init__(
        self, arrays: StepArrays, *, kv_heads: int, groups: int, value_dim: int, num_threads: int
    ) -> None:
        """
        Args:
            groups: query heads for each key head.
        """
        self._arrays = arrays
        items = _items(arrays.batch, kv_heads, groups, num_threads)
        padded = -(-value_dim // _WIDEST_VECTOR) * _WIDEST_VECTOR
        num_partials = kv_heads * items.num_partials
        partial_size = MAX_QUERIES * (padded + 2 * _WIDEST_VECTOR)
        self._partials = torch.empty(num_partials * partial_size, dtype=torch.float32)
        self._num_done = torch.zeros(num_partials, dtype=torch.int32)
        self._items = items.numbers
        self.step = Step(
            sequences=_address(arrays.sequences),
            rows=_address(arrays.rows),
            tables=_address(arrays.tables),
            items=_address(items.numbers),
            partials=self._partials.data_ptr(),
            num_done=self._num_done.data_ptr(),
            broken=arrays.broken.data_ptr(),
            num_rows=arrays.batch.num_rows,
            num_items=len(items.numbers) // 6,
            num_partials=items.num_partials,
            block_size=arrays.batch.block_size,
            num_threads=num_threads,
            groups=groups,
        )
        self.pointer = ctypes.pointer(self.step)


def _items(batch: StepBatch, kv_heads: int, groups: int, num_threads: int) -> _Items:
    """Cut the sequences' queries into items; if those are too few, also long texts or the queries.

    No cut changes a result.
    """
    enough = _ITEMS_PER_THREAD * num_threads if num_threads > 1 else 0
    counts = [seq.num_rows * groups for seq in batch.sequences]
    firsts = list(accumulate((seq.num_rows for seq in batch.sequences), initial=0))
    texts = [max(batch.context_lens[begin:end]) for begin, end in pairwise(firsts)]
    is_cut = sum(-(-count // MAX_QUERIES) for count in counts) * kv_heads < enough
    is_halved = is_cut and sum(-(-text // SECTION) for text in texts) * kv_heads < enough
    items = _Items()
    for number, count in enumerate(counts):
        size = min(count, MAX_QUERIES)
        if is_halved and count >= _FEWEST_TO_HALVE:
            size = -(-size // 2)
        for first in range(0, count, size):
            in_block = min(size, count - first)
            begin = firsts[number] + first // groups
            end = firsts[number] + -(-(first + in_block) // groups)
            num_sections = -(-max(batch.context_lens[begin:end]) // SECTION)
            _add(items, number, first, in_block, num_sections, is_cut=is_cut)
    return items


def _add(
    items: _Items, sequence: int, first: int, count: int, num_sections: int, *, is_cut: bool
) -> None:
    if not is_cut or num_sections == 1:
        items.numbers.extend((sequence, first, count, -1, num_sections, 0))
        return
    for section in range(num_sections):
        items.numbers.extend((sequence, first, count, section, num_sections, items.num_partials))
    items.num_partials += num_sections


def _address(numbers: "array[int]") -> int:
    return numbers.buffer_info()[0]
