"""Chooses the attention backend of a device."""

from qstar_infer.attention.backend import AttentionBackend
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend
from qstar_infer.attention.paged.backend import build_paged
from qstar_infer.kv_cache.kv_pool import KVPool


def choose_attention(pool: KVPool) -> AttentionBackend:
    """The fastest backend for the device of this pool on this machine."""
    return build_paged(pool) or PaddedSdpaBackend(pool)
