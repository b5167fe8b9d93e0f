"""Attention of the engine: rows over one pool of key/value blocks, through torch's SDPA.

Sequences with equally many rows are attended to together; each brings the slots of its block table
and of its lanes, and a mask says which of them a row sees. Runs on any device.

Legend: S sequences of a group, R rows of each, K key slots of each; kv_heads, groups (query heads
per key head), head_dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qstar_infer.attention.interface import LayerShape


class KVPool:
    """Keys and values of every slot of every layer.

    Attributes:
        keys, values: for each layer `[num_slots, kv_heads, head_dim]`, zero at first, so that a
            masked slot nobody wrote is still a finite number.
    """

    def __init__(
        self,
        layer_shapes: Sequence[LayerShape],
        num_slots: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        def zeros(heads: int, dim: int) -> Tensor:
            return torch.zeros(num_slots, heads, dim, dtype=dtype, device=device)

        self.keys = [zeros(shape.num_kv_heads, shape.key_dim) for shape in layer_shapes]
        self.values = [zeros(shape.num_kv_heads, shape.value_dim) for shape in layer_shapes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedRows:
    """What the rows of S sequences, R rows each, may attend to. All int64, on the pool's device."""

    block_tables: Tensor
    """`[S, blocks]`, padded with any block."""
    lane_blocks: Tensor
    """`[S, lanes, blocks_per_lane]`, padded with any block."""
    context_lens: Tensor
    """`[S, R]`: a row sees the first `context_len` slots of the block table."""
    lane_of_row: Tensor
    """`[S, R]`: the row's lane, -1 for none."""
    lane_lens: Tensor
    """`[S, R]`: a row sees the first `lane_len` slots of its lane."""


class _Group:
    """Sequences with equally many rows, ready to attend."""

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
        """`[S, 1, groups * R, K]`, added to the scores; the same object for like layers."""
        key = (window, groups)
        if key not in self._masks:
            visible = self._visible(window).unsqueeze(1)
            hidden = torch.zeros(visible.shape, dtype=self._dtype, device=visible.device)
            hidden.masked_fill_(~visible, float("-inf"))
            self._masks[key] = hidden.repeat(1, 1, groups, 1)
        return self._masks[key]

    def _visible(self, window: int | None) -> Tensor:
        """`[S, R, K]`, bool."""
        rows = self._rows
        device = rows.context_lens.device
        context_lens = rows.context_lens.unsqueeze(-1)
        index = torch.arange(rows.block_tables.shape[1] * self._block_size, device=device)
        context = index < context_lens
        if window is not None:  # measured from the anchor, for a whole thought
            context &= index >= context_lens - window

        num_lanes, blocks_per_lane = rows.lane_blocks.shape[1:]
        lane = torch.arange(num_lanes, device=device).view(-1, 1)
        offset = torch.arange(blocks_per_lane * self._block_size, device=device)
        is_own = rows.lane_of_row[..., None, None] == lane
        own = is_own & (offset < rows.lane_lens[..., None, None])
        return torch.cat([context, own.flatten(2)], dim=-1)


class PagedAttention:
    """The attention state of one engine step.

    Rows come sequence by sequence, and the sequences group by group.
    """

    def __init__(
        self, pool: KVPool, groups: Sequence[PagedRows], slots: Tensor, *, block_size: int
    ) -> None:
        """
        Args:
            slots: `[rows]`, int64. Where each row's key and value are written.
        """
        self._pool = pool
        self._slots = slots
        dtype = pool.keys[0].dtype
        self._groups = [_Group(rows, block_size, dtype) for rows in groups]

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
        """See `AttentionState.attend`; batch is 1."""
        keys, values = self._pool.keys[layer], self._pool.values[layer]
        # A NaN left in a freed slot would reach other sequences through their masks (0 * NaN).
        keys.index_copy_(0, self._slots, key[0].transpose(0, 1).nan_to_num())
        values.index_copy_(0, self._slots, value[0].transpose(0, 1).nan_to_num())

        outputs = []
        first = 0
        for group in self._groups:
            last = first + group.num_sequences * group.num_rows
            outputs.append(
                _attend_group(query[0, :, first:last], keys, values, group, scale, window)
            )
            first = last
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).unsqueeze(0)


def _attend_group(
    query: Tensor, keys: Tensor, values: Tensor, group: _Group, scale: float, window: int | None
) -> Tensor:
    """`[heads, S * R, head_dim]` to `[S * R, heads, head_dim]`.

    The query heads that share a key head become rows of it, so that keys are not repeated.
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
