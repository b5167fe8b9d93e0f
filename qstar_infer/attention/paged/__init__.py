"""Attention of a CPU in C, straight from the pool of keys and values (0020)."""
