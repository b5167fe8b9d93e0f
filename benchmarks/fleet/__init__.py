"""Simulates a fleet of replicas before it exists: the real scheduler on a clock that is computed."""
