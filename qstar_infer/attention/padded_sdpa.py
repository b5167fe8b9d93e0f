"""Paged attention with torch's SDPA, in padded groups (decision 0004). Runs on any device.

Sequences with the same number of rows are batched. For each sequence the keys and values of its
block table and of its lanes are gathered, and a mask says which of them each row sees.

Legend: S sequences of a group, R rows and K key slots of each sequence; kv_heads, groups (query
heads for each key head), head_dim.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from qstar_infer.attention.backend import StepAttentionState
from qstar_infer.attention.few_lanes import with_few_lanes
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.step import SequenceRows, StepBatch

_T = TypeVar("_T")


@contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Keep `scaled_dot_product_attention` from cuDNN, which plans anew for each new shape.

    The shapes of the engine's steps change all the time. The setting is that of the process.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


class PaddedSdpaBackend:
    """An `AttentionBackend` for every device that supports torch's SDPA."""

    def __init__(self, pool: KVPool) -> None:
        self._pool = pool

    def prepare(self, batch: StepBatch) -> StepAttentionState:
        """See `AttentionBackend.prepare`."""
        device = self._pool.keys[0].device
        slots = torch.tensor(batch.slots, dtype=torch.int64, device=device)
        groups = _paged_groups(with_few_lanes(batch), device)
        return PaddedSdpaState(self._pool, groups, slots, block_size=batch.block_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedRows:
    """The slots that S sequences of R rows attend to. All tensors int64, on the pool's device."""

    block_tables: Tensor
    """`[S, blocks]`, padded with block 0, which the mask hides."""
    lane_blocks: Tensor
    """`[S, lanes, blocks_per_lane]`, padded with block 0, which the mask hides."""
    context_lens: Tensor
    """`[S, R]`: a row sees the first `context_len` slots of the block table."""
    lane_of_row: Tensor
    """`[S, R]`: index of the row's lane, or `NO_LANE`."""
    lane_lens: Tensor
    """`[S, R]`: a row sees the first `lane_len` slots of its lane."""


class _Group:
    """Key slots and masks of sequences with the same number of rows."""

    def __init__(self, rows: PagedRows, block_size: int, dtype: torch.dtype) -> None:
        self._rows = rows
        self._block_size = block_size
        self._dtype = dtype
        self.num_sequences, self.num_rows = rows.context_lens.shape
        offsets = torch.arange(block_size, device=rows.block_tables.device)
        blocks = torch.cat([rows.block_tables, rows.lane_blocks.flatten(1)], dim=1)
        self.num_keys = blocks.shape[1] * block_size
        self.key_slots = (blocks.unsqueeze(-1) * block_size + offsets).flatten()  # [S * K]
        self._masks: dict[tuple[int | None, int], Tensor] = {}

    def mask(self, window: int | None, groups: int) -> Tensor:
        """The mask to add to the scores, `[S, 1, groups * R, K]`; cached for each window."""
        key = (window, groups)
        if key not in self._masks:
            visible = self._visible(window).unsqueeze(1)
            hidden = torch.zeros(visible.shape, dtype=self._dtype, device=visible.device)
            hidden.masked_fill_(~visible, float("-inf"))
            self._masks[key] = hidden.repeat(1, 1, groups, 1)
        return self._masks[key]

    def _visible(self, window: int | None) -> Tensor:
        """Which key slots each row sees: `[S, R, K]`, bool."""
        rows = self._rows
        device = rows.context_lens.device
        context_lens = rows.context_lens.unsqueeze(-1)
        index = torch.arange(rows.block_tables.shape[1] * self._block_size, device=device)
        context = index < context_lens
        if window is not None:  # counted back from the anchor for every row of a thought
            context &= index >= context_lens - window

        num_lanes, blocks_per_lane = rows.lane_blocks.shape[1:]
        lane = torch.arange(num_lanes, device=device).view(-1, 1)
        offset = torch.arange(blocks_per_lane * self._block_size, device=device)
        is_own = rows.lane_of_row[..., None, None] == lane
        own = is_own & (offset < rows.lane_lens[..., None, None])
        return torch.cat([context, own.flatten(2)], dim=-1)


class PaddedSdpaState:
    """The attention state of one step."""

    def __init__(
        self, pool: KVPool, groups: Sequence[PagedRows], slots: Tensor, *, block_size: int
    ) -> None:
        """
        Args:
            groups: consecutive sequences with the same number of rows, in the order of the rows.
            slots: `[rows]`, int64: the pool slot that each row's key and value are written to.
        """
        self._pool = pool
        self._slots = slots
        dtype = pool.keys[0].dtype
        self._groups = [_Group(rows, block_size, dtype) for rows in groups]
        self._written: list[Tensor] = []
        """The keys and values of each layer, as computed: those of one step."""

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """See `AttentionState.attend`; the batch size is 1."""
        keys, values = self._pool.keys[layer], self._pool.values[layer]
        self._written += [key, value]
        keys.index_copy_(0, self._slots, _finite(key))
        values.index_copy_(0, self._slots, _finite(value))

        outputs = []
        first = 0
        for group in self._groups:
            last = first + group.num_sequences * group.num_rows
            outputs.append(
                _attend_group(query[0, :, first:last], keys, values, group, scale, window)
            )
            first = last
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).unsqueeze(0)

    def broken_rows(self) -> list[int]:
        """See `StepAttentionState.broken_rows`."""
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for each in self._written:
            by_shape.setdefault(each.shape, []).append(each)
        self._written.clear()
        # One sum for all layers: it costs a fraction of a test in each layer.
        sums = [
            torch.stack(same).sum(dim=(0, 1, 2, 4), dtype=torch.float32)
            for same in by_shape.values()
        ]
        broken: list[int] = (~torch.stack(sums).isfinite().all(dim=0)).nonzero().flatten().tolist()
        return broken


def _finite(states: Tensor) -> Tensor:
    """Keys or values to store, `[rows, kv_heads, head_dim]`: 0 for a number that is not finite.

    A NaN in the pool would reach other sequences even where it is masked (0 * NaN).
    """
    return states[0].transpose(0, 1).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _attend_group(
    query: Tensor, keys: Tensor, values: Tensor, group: _Group, scale: float, window: int | None
) -> Tensor:
    """Attention of one group: `[heads, S * R, head_dim]` to `[S * R, heads, head_dim]`.

    Query heads that share a key head are folded into the rows, so that keys are not repeated.
    """
    heads, _, head_dim = query.shape
    kv_heads = keys.shape[1]
    groups = heads // kv_heads
    seqs, rows = group.num_sequences, group.num_rows
    key = keys.index_select(0, group.key_slots).view(seqs, group.num_keys, kv_heads, head_dim)
    value = values.index_select(0, group.key_slots).view(seqs, group.num_keys, kv_heads, -1)
    folded = (
        query.view(kv_heads, groups, seqs, rows, head_dim)
        .permute(2, 0, 1, 3, 4)
        .reshape(seqs, kv_heads, groups * rows, head_dim)
    )
    output = F.scaled_dot_product_attention(
        folded,
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=group.mask(window, groups),
        scale=scale,
    )
    return (
        output.view(seqs, kv_heads, groups, rows, -1)
        .permute(0, 3, 1, 2, 4)
        .reshape(seqs * rows, heads, -1)
    )


def _paged_groups(batch: StepBatch, device: torch.device) -> list[PagedRows]:
    """Group consecutive sequences of similar shape and copy their indices to the device."""
    groups: list[PagedRows] = []
    first = 0
    for num_rows, same_rows in groupby(batch.sequences, key=lambda seq: seq.num_rows):
        for _, group in groupby(same_rows, key=lambda seq: len(seq.block_table).bit_length()):
            sequences = list(group)
            last = first + num_rows * len(sequences)
            groups.append(_paged_rows(batch, sequences, slice(first, last), device))
            first = last
    return groups


def _paged_rows(
    batch: StepBatch, sequences: list[SequenceRows], rows: slice, device: torch.device
) -> PagedRows:
    def table(values: object, *shape: int) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device).view(shape)

    num_seqs = len(sequences)
    num_lanes = max(len(seq.lane_tables) for seq in sequences)
    per_lane = max((len(lane) for seq in sequences for lane in seq.lane_tables), default=0)
    num_blocks = max(len(seq.block_table) for seq in sequences)
    lane_blocks = [
        _padded([_padded(lane, per_lane, 0) for lane in seq.lane_tables], num_lanes, [0] * per_lane)
        for seq in sequences
    ]
    return PagedRows(
        block_tables=table(
            [_padded(seq.block_table, num_blocks, 0) for seq in sequences], num_seqs, num_blocks
        ),
        lane_blocks=table(lane_blocks, num_seqs, num_lanes, per_lane),
        context_lens=table(batch.context_lens[rows], num_seqs, -1),
        lane_of_row=table(batch.row_lanes[rows], num_seqs, -1),
        lane_lens=table(batch.lane_lens[rows], num_seqs, -1),
    )


def _padded(values: list[_T], length: int, filler: _T) -> list[_T]:
    return values + [filler] * (length - len(values))
