"""The engine's key/value cache: block accounting (no torch), and the tensors of the blocks."""
