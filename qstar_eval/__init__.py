"""Evaluation: what thinking is worth. `qstar eval` measures held-out loss and questions."""
