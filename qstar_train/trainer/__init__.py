"""Turns a model and text into a checkpoint whose thoughts help: Accelerate around the objective."""
