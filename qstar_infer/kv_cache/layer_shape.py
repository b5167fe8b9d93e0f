"""The shape of one attention layer's keys and values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """Shape of the keys and values that one layer stores per token, and its window."""

    num_kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None
    """Sliding window in tokens; None for full attention."""
