"""Simulates a fleet of replicas: the engine's own scheduler, on a clock that is computed."""
