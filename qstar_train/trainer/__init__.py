"""Trains a model on text: the loop, its methods, states and checkpoints."""
