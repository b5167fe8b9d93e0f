"""Whether a terminal can show the reading view. Imports no prompt_toolkit, which takes time."""

import os

from rich.console import Console


def can_read(console: Console) -> bool:
    """Whether the console is a terminal whose cursor can be moved."""
    return console.is_terminal and not console.is_dumb_terminal and os.isatty(_fileno(console))


def needed_terminal() -> str:
    """What the reading view needs, behind the name of what was asked for."""
    return "needs a terminal, and TERM must not be dumb"


def _fileno(console: Console) -> int:
    try:
        return console.file.fileno()
    except OSError:  # a buffer of a test or a notebook
        return -1
