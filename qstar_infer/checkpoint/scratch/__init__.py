"""Untrained models and tokenizers from a small config file."""
