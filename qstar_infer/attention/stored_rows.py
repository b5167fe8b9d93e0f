"""Stores the keys and values of a step's rows, and finds those that are not finite."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.kv_cache.kv_pool import KVPool


class StoredRows:
    """The keys and values that one step writes to the pool."""

    def __init__(self, pool: KVPool, slots: Sequence[int]) -> None:
        """
        Args:
            slots: the pool slot that each row's key and value are written to.
        """
        self._pool = pool
        first, num_rows = slots[0], len(slots)
        is_run = list(slots) == list(range(first, first + num_rows))
        self._run = slice(first, first + num_rows) if is_run else None
        self._slots = torch.tensor(slots, dtype=torch.int64, device=pool.keys[0].device)
        self._written: list[Tensor] = []
        """The keys and values of each layer, as computed: those of one step."""

    def store(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write `[1, kv_heads, rows, dim]` each.

        Returns:
            The layer's keys and values, those of all slots: `[kv_heads, num_slots, dim]`.
        """
        keys, values = self._pool.keys[layer], self._pool.values[layer]
        self._written += [key, value]
        self._write(keys, key[0])
        self._write(values, value[0])
        return keys, values

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

    def _write(self, pool: Tensor, states: Tensor) -> None:
        """Write 0 for a number that is not finite.

        A NaN in the pool would reach other sequences even where it is masked (0 * NaN).
        """
        if self._run is not None:
            torch.nan_to_num(states, nan=0.0, posinf=0.0, neginf=0.0, out=pool[:, self._run])
        else:
            finite = states.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            pool.index_copy_(1, self._slots, finite)
