"""Describes checkpoints without loading weights."""
