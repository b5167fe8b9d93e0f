"""What one attention layer stores for a token."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """What one layer stores for each token, and how far it looks back."""

    num_kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None
    """Sliding window in tokens; None for full attention."""
