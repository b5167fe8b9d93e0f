"""Tool calls in a model's text: which formats are known, and how to read them."""
