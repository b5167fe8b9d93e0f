"""Memory of a running engine: who owns which block (no torch), and the blocks' tensors."""
