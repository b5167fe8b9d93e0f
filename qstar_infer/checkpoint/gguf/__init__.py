"""Loads GGUF files."""
