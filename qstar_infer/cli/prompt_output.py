"""How prompt_toolkit writes to the terminal of a command."""

import os
import sys
from typing import TextIO

from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output
from rich.console import Console

_DEPTHS = {
    "standard": ColorDepth.DEPTH_4_BIT,
    "256": ColorDepth.DEPTH_8_BIT,
    "truecolor": ColorDepth.DEPTH_24_BIT,
}


def open_output() -> Output:
    """The terminal. It is not asked where its cursor is, because some never answer."""
    stdout = sys.stdout
    return Vt100_Output(
        stdout, lambda: _size(stdout), term=os.environ.get("TERM"), enable_cpr=False
    )


def _size(stdout: TextIO) -> Size:
    try:
        columns, rows = os.get_terminal_size(stdout.fileno())
    except OSError:
        columns = rows = 0
    return Size(rows=rows or 24, columns=columns or 80)  # a new pseudo terminal has no size


def colour_depth(console: Console) -> ColorDepth:
    """The number of colours that rich found; none with NO_COLOR."""
    if console.no_color:
        return ColorDepth.DEPTH_1_BIT
    return _DEPTHS.get(console.color_system or "", ColorDepth.DEPTH_1_BIT)
