"""Attention of a CPU: long contexts where they lie in the pool, the rest gathered (0020)."""
