"""Paged attention with torch's SDPA, in padded groups (decision 0004). Runs on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from qstar_infer.attention.backend import StepAttentionState
from qstar_infer.attention.few_lanes import with_few_lanes
from qstar_infer.attention.gathered_rows import GatheredRows, gathered_groups
from qstar_infer.attention.stored_rows import StoredRows
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.step import StepBatch


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
        return PaddedSdpaState(self._pool, with_few_lanes(batch))


class PaddedSdpaState:
    """The attention state of one step."""

    def __init__(self, pool: KVPool, batch: StepBatch) -> None:
        self._batch = batch
        self._stored = StoredRows(pool, batch.slots)
        self._groups: dict[int | None, list[GatheredRows]] = {}
        """By sliding window."""

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
        if window not in self._groups:
            self._groups[window] = gathered_groups(
                self._batch, window=window, dtype=keys.dtype, device=keys.device
            )
        outputs = [
            _attend_gathered(group, query[0], keys, values, scale) for group in self._groups[window]
        ]
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).unsqueeze(0)

    def broken_rows(self) -> list[int]:
        """See `StepAttentionState.broken_rows`."""
        return self._stored.broken_rows()


def _attend_gathered(
    group: GatheredRows, query: Tensor, keys: Tensor, values: Tensor, scale: float
) -> Tensor:
    """Attention of one group over all that its rows see.

    Args:
        query: `[heads, rows of the step, head_dim]`.
        keys, values: `[kv_heads, num_slots, dim]`.

    Returns:
        `[rows of the group, heads, value_dim]`.
    """
    kv_heads = keys.shape[0]
    output = F.scaled_dot_product_attention(
        group.fold(query, kv_heads),
        group.gather(keys),
        group.gather(values),
        attn_mask=group.mask(query.shape[0] // kv_heads),
        scale=scale,
    )
    return group.unfold(output)
