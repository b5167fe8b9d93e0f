"""Attention of a step on a CPU: in C from the pool, against gathered."""
