"""Attention in two levels: the common prefix of a sequence's rows in place, the rest gathered.

The rest is the text after the prefix and the lanes. Both are merged by their log-sum-exp.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from qstar_infer.attention.backend import StepAttentionState
from qstar_infer.attention.few_lanes import with_few_lanes
from qstar_infer.attention.gathered_rows import GatheredRows, gathered_groups
from qstar_infer.attention.in_place.flash import Partial, flash, merge
from qstar_infer.attention.in_place.prefix import Prefix, prefix_length
from qstar_infer.attention.padded_sdpa import attend_gathered
from qstar_infer.attention.stored_rows import StoredRows
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.step import StepBatch


class InPlaceBackend:
    """An `AttentionBackend` for CPUs."""

    def __init__(self, pool: KVPool) -> None:
        self._pool = pool

    def prepare(self, batch: StepBatch) -> StepAttentionState:
        """See `AttentionBackend.prepare`."""
        return InPlaceState(self._pool, with_few_lanes(batch))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What the rows attend to in layers of one kind."""

    prefixes: list[Prefix | None]
    """For each sequence; None if everything is gathered."""
    groups: list[GatheredRows]
    """What is gathered."""


class InPlaceState:
    """The attention state of one step."""

    def __init__(self, pool: KVPool, batch: StepBatch) -> None:
        self._batch = batch
        self._stored = StoredRows(pool, batch.slots)
        self._dtype = pool.keys[0].dtype
        self._plans: dict[tuple[int | None, bool], _Plan] = {}

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
        keys, values = self._stored.store(layer, key, value)
        # The kernel wants equal dimensions. A window has no prefix that all rows see.
        has_prefix = window is None and keys.shape[-1] == values.shape[-1]
        plan = self._plan(window, has_prefix)
        outputs = [
            _attend_both(group, plan.prefixes, query[0], keys, values, scale)
            if any(plan.prefixes[number] for number in group.members)
            else attend_gathered(group, query[0], keys, values, scale)
            for group in plan.groups
        ]
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).unsqueeze(0)

    def broken_rows(self) -> list[int]:
        """See `StepAttentionState.broken_rows`."""
        return self._stored.broken_rows()

    def _plan(self, window: int | None, has_prefix: bool) -> _Plan:
        if (window, has_prefix) not in self._plans:
            lengths = _prefix_lengths(self._batch) if has_prefix else [0] * self._num_sequences
            prefixes = [
                Prefix(
                    seq.block_table,
                    length,
                    block_size=self._batch.block_size,
                    num_rows=seq.num_rows,
                )
                if length
                else None
                for seq, length in zip(self._batch.sequences, lengths, strict=True)
            ]
            groups = gathered_groups(
                self._batch,
                lengths,
                window=window,
                dtype=self._dtype,
                device=torch.device("cpu"),
            )
            self._plans[window, has_prefix] = _Plan(prefixes=prefixes, groups=groups)
        return self._plans[window, has_prefix]

    @property
    def _num_sequences(self) -> int:
        return len(self._batch.sequences)


def _prefix_lengths(batch: StepBatch) -> list[int]:
    ends = [0, *accumulate(seq.num_rows for seq in batch.sequences)]
    return [prefix_length(min(batch.context_lens[begin:end])) for begin, end in pairwise(ends)]


def _attend_both(
    group: GatheredRows,
    prefixes: list[Prefix | None],
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
) -> Tensor:
    """As `attend_gathered`, for a group in which some sequence has a prefix."""
    kv_heads = keys.shape[0]
    folded = group.fold(query, kv_heads)
    mask = group.mask(query.shape[0] // kv_heads)
    rest = flash(folded, group.gather(keys), group.gather(values), mask, scale)
    outputs = []
    for place, number in enumerate(group.members):
        prefix = prefixes[number]
        own = slice(place, place + 1)
        if prefix is None:
            outputs.append(rest.output[place])
            continue
        parts = prefix.attend(folded[place], keys, values, scale)
        outputs.append(merge([*parts, Partial(rest.output[own], rest.logsumexp[own])]))
    return group.unfold(torch.stack(outputs))
