"""Options that the commands of `qstar bench` share."""

from pathlib import Path
from typing import Annotated

import typer

from qstar_infer.errors import ConfigError

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Also write the numbers to this file.")
]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", help="Also draw a chart to this file, such as speed.svg.")
]
Repeats = Annotated[int, typer.Option(help="Rounds; rates are their medians.", min=1)]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", min=1)]


def numbers(option: str, text: str) -> list[int]:
    """The whole numbers, above 0, that an option lists, without repetitions.

    Raises:
        ConfigError: it is no such list.
    """
    try:
        found = list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ConfigError(f"{option} is {text!r}; it must be numbers above 0, separated by commas")
    return found
