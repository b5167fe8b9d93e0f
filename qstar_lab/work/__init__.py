"""What the stages of the lab do, besides training: each function reads files and writes a result.

`process.py` starts the processes of stages; it alone is imported by the lab itself, without torch.
"""
