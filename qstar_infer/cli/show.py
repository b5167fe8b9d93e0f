"""`qstar show`: open saved runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qstar_infer.cli.reading.ability import can_read
from qstar_infer.cli.token_table import table_of
from qstar_infer.saved_run import read_saved_runs


def show(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Files of `qstar generate --save`, of /save in a chat, or of the web page.",
        ),
    ],
) -> None:
    """Read the thoughts of saved answers, token by token; in a pipe, a table of the tokens."""
    runs = [run for file in files for run in read_saved_runs(file)]
    console = Console()
    if can_read(console):
        from qstar_infer.cli.reading.app import read_runs  # imports prompt_toolkit

        read_runs(runs, console)
        return
    for number, run in enumerate(runs):
        sys.stdout.write("\n" * (number > 0) + table_of(run))
