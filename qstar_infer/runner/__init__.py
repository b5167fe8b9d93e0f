"""Computes the steps of the engine: with torch, or with another library."""
