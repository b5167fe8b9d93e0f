"""The training objective beside the paper's way of computing it: time and memory."""
