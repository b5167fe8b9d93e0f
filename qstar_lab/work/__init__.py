"""What the stages of the lab do, besides training: each function reads files and writes a result.

A stage's process is `python -m qstar_lab.work SETTINGS.json`.
"""
