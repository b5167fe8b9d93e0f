"""Training text and question sets that come in Python packages, written as jsonl."""
