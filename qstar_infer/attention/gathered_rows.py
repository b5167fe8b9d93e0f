"""Groups of sequences whose keys and values are gathered, with a mask for what each row sees.

Legend: S sequences of a group, R rows and K gathered slots of each; kv_heads, groups (query heads
for each key head), dim.
"""

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise
from typing import TypeVar

import torch
from torch import Tensor

from qstar_infer.step import StepBatch

_T = TypeVar("_T")


def gathered_groups(
    batch: StepBatch, *, window: int | None, dtype: torch.dtype, device: torch.device
) -> list["GatheredRows"]:
    """Group consecutive sequences of the same number of rows and similar length.

    Args:
        window: sliding window in tokens.
        dtype: of the masks.
    """
    ends = [0, *accumulate(seq.num_rows for seq in batch.sequences)]
    lens = [batch.context_lens[begin:end] for begin, end in pairwise(ends)]
    firsts = [0 if window is None else max(0, min(seen) - window) for seen in lens]
    spans = [range(first, max(seen)) for first, seen in zip(firsts, lens, strict=True)]

    def shape(number: int) -> tuple[int, int]:
        num_blocks = len(spans[number]) // batch.block_size
        return batch.sequences[number].num_rows, num_blocks.bit_length()

    groups = []
    for _, alike in groupby(range(len(batch.sequences)), key=shape):
        members = list(alike)
        rows = slice(ends[members[0]], ends[members[-1] + 1])
        groups.append(
            GatheredRows(batch, members, spans, rows, window=window, dtype=dtype, device=device)
        )
    return groups


class GatheredRows:
    """Sequences with the same number of rows, padded to the same number of slots.

    Attributes:
        members: indices of the sequences in the step.
        rows: their rows in the step.
    """

    def __init__(
        self,
        batch: StepBatch,
        members: Sequence[int],
        spans: Sequence[range],
        rows: slice,
        *,
        window: int | None,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.members = members
        self.rows = rows
        self._batch = batch
        self._device = device
        self._num_rows = (rows.stop - rows.start) // len(members)
        self._masks: dict[int, Tensor] = {}
        context_slots, first_slots = self._context_slots(spans)
        lane_slots, num_lanes = self._lane_slots()
        visible = torch.cat(
            [
                self._visible_context(context_slots.shape[1], first_slots, spans, window),
                self._visible_lanes(num_lanes, lane_slots.shape[1] // max(1, num_lanes)),
            ],
            dim=-1,
        ).unsqueeze(1)
        self._hidden = torch.zeros(visible.shape, dtype=dtype, device=device)
        self._hidden.masked_fill_(~visible, float("-inf"))
        self._num_slots = visible.shape[-1]
        self._slots = torch.cat([context_slots, lane_slots], dim=1).flatten()

    def gather(self, pool: Tensor) -> Tensor:
        """A copy of keys or values: `[kv_heads, num_slots, dim]` to `[S, kv_heads, K, dim]`."""
        kv_heads, _, dim = pool.shape
        gathered = pool.index_select(1, self._slots)
        return gathered.view(kv_heads, len(self.members), self._num_slots, dim).transpose(0, 1)

    def mask(self, groups: int) -> Tensor:
        """The mask to add to the scores: `[S, 1, groups * R, K]`."""
        if groups not in self._masks:
            self._masks[groups] = self._hidden.repeat(1, 1, groups, 1)
        return self._masks[groups]

    def fold(self, query: Tensor, kv_heads: int) -> Tensor:
        """Fold query heads that share a key head into the rows, so that keys are not repeated.

        Args:
            query: `[heads, rows of the step, dim]`.

        Returns:
            `[S, kv_heads, groups * R, dim]`.
        """
        heads, _, dim = query.shape
        shape = (kv_heads, heads // kv_heads, len(self.members), self._num_rows, dim)
        folded = query[:, self.rows].view(shape).permute(2, 0, 1, 3, 4)
        return folded.reshape(len(self.members), kv_heads, -1, dim)

    def unfold(self, output: Tensor) -> Tensor:
        """`[S, kv_heads, groups * R, dim]` to `[rows of the group, heads, dim]`."""
        seqs, kv_heads, _, dim = output.shape
        shape = (seqs, kv_heads, -1, self._num_rows, dim)
        unfolded = output.view(shape).permute(0, 3, 1, 2, 4)
        return unfolded.reshape(seqs * self._num_rows, -1, dim)

    def _context_slots(self, spans: Sequence[range]) -> tuple[Tensor, Tensor]:
        """Slots of the text, `[S, context]`, and the index of each sequence's first one, `[S]`."""
        size = self._batch.block_size
        skipped = [spans[number].start // size for number in self.members]
        blocks = [
            self._batch.sequences[number].block_table[skip : -(-spans[number].stop // size)]
            for number, skip in zip(self.members, skipped, strict=True)
        ]
        width = max(map(len, blocks))
        padded = self._tensor([_padded(row, width, 0) for row in blocks])
        return self._slots_of(padded), self._tensor([skip * size for skip in skipped])

    def _lane_slots(self) -> tuple[Tensor, int]:
        """Slots of the lanes, `[S, lanes * lane]`, and the number of lanes.

        Only as many slots of each lane are gathered as the longest lane has filled.
        """
        lanes = [self._batch.sequences[number].lane_tables for number in self.members]
        num_lanes = max(map(len, lanes))
        if num_lanes == 0:
            return self._tensor([[] for _ in lanes]), 0
        per_lane = max(len(lane) for tables in lanes for lane in tables)
        none = [0] * per_lane
        padded = [
            _padded([_padded(lane, per_lane, 0) for lane in tables], num_lanes, none)
            for tables in lanes
        ]
        slots = self._slots_of(self._tensor(padded))
        longest = max(self._batch.lane_lens[self.rows])
        return slots[..., :longest].flatten(1), num_lanes

    def _visible_context(
        self, width: int, first_slots: Tensor, spans: Sequence[range], window: int | None
    ) -> Tensor:
        """Which slots of the text each row sees: `[S, R, width]`, bool."""
        index = first_slots.view(-1, 1, 1) + torch.arange(width, device=self._device)
        lens = self._of_rows(self._batch.context_lens)
        begin = self._tensor([spans[number].start for number in self.members]).view(-1, 1, 1)
        visible = (index < lens) & (index >= begin)
        if window is not None:  # counted back from the anchor for every row of a thought
            visible &= index >= lens - window
        return visible

    def _visible_lanes(self, num_lanes: int, width: int) -> Tensor:
        """Which slots of the lanes each row sees: `[S, R, num_lanes * width]`, bool."""
        lane = torch.arange(num_lanes, device=self._device).repeat_interleave(width)
        offset = torch.arange(width, device=self._device).repeat(num_lanes)
        is_own = self._of_rows(self._batch.row_lanes) == lane
        return is_own & (offset < self._of_rows(self._batch.lane_lens))

    def _slots_of(self, blocks: Tensor) -> Tensor:
        """`[..., blocks]` to `[..., blocks * block_size]`."""
        size = self._batch.block_size
        offsets = torch.arange(size, device=self._device)
        return (blocks.unsqueeze(-1) * size + offsets).flatten(-2)

    def _of_rows(self, values: Sequence[int]) -> Tensor:
        """One number of each row: `[S, R, 1]`."""
        return self._tensor(values[self.rows]).view(len(self.members), self._num_rows, 1)

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


def _padded(values: list[_T], length: int, filler: _T) -> list[_T]:
    return values + [filler] * (length - len(values))
