"""Attention of a step on a CPU: in place against gathered."""
