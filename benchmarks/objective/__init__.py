"""Compares the training objective with the paper's computation of it: time and memory."""
