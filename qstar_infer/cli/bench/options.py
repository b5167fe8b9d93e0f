"""Options that the commands of `qstar bench` share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from qstar_infer.errors import ConfigError

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Also write the numbers to this file.")
]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", help="Also draw a chart to this file, such as speed.svg.")
]
Repeats = Annotated[int, typer.Option(help="Rounds; rates are their medians.", min=1)]
Number = TypeVar("Number", int, float)
Threads = Annotated[int | None, typer.Option(help="CPU threads.", min=1)]


def numbers(option: str, text: str) -> list[int]:
    """The whole numbers, above 0, that an option lists, without repetitions.

    Raises:
        ConfigError: it is no such list.
    """
    return _listed(option, text, int, "whole numbers")


def positive_numbers(option: str, text: str) -> list[float]:
    """The numbers above 0 that an option lists, without repetitions.

    Raises:
        ConfigError: it is no such list.
    """
    return _listed(option, text, float, "numbers")


def _listed(option: str, text: str, kind: Callable[[str], Number], what: str) -> list[Number]:
    try:
        found = list(dict.fromkeys(kind(part) for part in text.split(",")))
    except ValueError:
        found = []
    if not found or not all(0 < number < math.inf for number in found):
        raise ConfigError(f"{option} is {text!r}; it must be {what} above 0, separated by commas")
    return found
