"""Measures what the CPU engine must reach, and says whether it does."""
