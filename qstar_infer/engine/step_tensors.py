"""From the scheduler's rows to tensors: uploads indices, decides nothing."""

from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from qstar_infer.attention.paged import PagedRows
from qstar_infer.engine.rows import END, START, SequenceRows

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTensors:
    """One step, uploaded. Rows are in the order of `by_shape`."""

    token_ids: Tensor
    """`[rows]`, int64; 0 where a thought vector is fed."""
    start_rows: list[int]
    end_rows: list[int]
    positions: Tensor
    """`[rows]`, int64."""
    slots: Tensor
    """`[rows]`, int64."""
    groups: list[PagedRows]


def by_shape(steps: Items[SequenceRows]) -> list[SequenceRows]:
    """Sequences that attend together beside each other."""
    return sorted(steps, key=_shape)


def _shape(rows: SequenceRows) -> tuple[int, int]:
    """Equally many rows; and block tables within a factor of two, as all are padded to one size."""
    return rows.num_rows, len(rows.seq.block_table).bit_length()


def upload(steps: Items[SequenceRows], device: torch.device) -> StepTensors:
    """
    Args:
        steps: in the order of `by_shape`.
    """

    def column(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    token_ids = [token_id for rows in steps for token_id in rows.token_ids]
    groups = groupby(steps, key=_shape)
    return StepTensors(
        token_ids=column([max(0, token_id) for token_id in token_ids]),
        start_rows=[row for row, token_id in enumerate(token_ids) if token_id == START],
        end_rows=[row for row, token_id in enumerate(token_ids) if token_id == END],
        positions=column([position for rows in steps for position in rows.positions]),
        slots=column([slot for rows in steps for slot in rows.slots]),
        groups=[_paged_rows(list(group), device) for _, group in groups],
    )


def _paged_rows(group: list[SequenceRows], device: torch.device) -> PagedRows:
    def table(values: Items[Items[_T]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    num_lanes = max(len(rows.lanes) for rows in group)
    per_lane = max((len(lane.blocks) for rows in group for lane in rows.lanes), default=0)
    lane_blocks = [
        _padded(
            [_padded(lane.blocks, per_lane, 0) for lane in rows.lanes], num_lanes, [0] * per_lane
        )
        for rows in group
    ]
    num_blocks = max(len(rows.seq.block_table) for rows in group)
    return PagedRows(
        block_tables=table([_padded(rows.seq.block_table, num_blocks, 0) for rows in group]),
        lane_blocks=table(lane_blocks).view(len(group), num_lanes, per_lane),
        context_lens=table([rows.context_lens for rows in group]),
        lane_of_row=table([rows.lane_of_row for rows in group]),
        lane_lens=table([rows.lane_lens for rows in group]),
    )


def _padded(values: list[_T], length: int, filler: _T) -> list[_T]:
    return values + [filler] * (length - len(values))
