"""Turns text into windows of token ids, deterministically by seed. Does not know models."""
