"""Chooses the attention backend of a device."""

from qstar_infer.attention.backend import AttentionBackend
from qstar_infer.attention.in_place.backend import InPlaceBackend
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend
from qstar_infer.kv_cache.kv_pool import KVPool


def choose_attention(pool: KVPool) -> AttentionBackend:
    """The fastest backend for the device of this pool."""
    return InPlaceBackend(pool) if pool.keys[0].device.type == "cpu" else PaddedSdpaBackend(pool)
