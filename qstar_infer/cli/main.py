"""The `qstar` command: lists the subcommands and prints errors as one line.

Imports no command and no torch; see `qstar_infer.cli.lazy`.
"""

import sys
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from qstar_infer.cli.lazy import lazy_commands
from qstar_infer.errors import QStarError

COMMANDS = {
    "generate": "qstar_infer.cli.generate:generate",
    "chat": "qstar_infer.cli.chat:chat",
    "init": "qstar_infer.cli.init:init",
    "convert": "qstar_infer.cli.convert:convert",
    "inspect": "qstar_infer.cli.inspect:inspect",
    "bench": "qstar_infer.cli.bench:app",
}
USER_ERROR_EXIT_CODE = 2


class LazyGroup(TyperGroup):
    """The command group, with placeholders instead of imported commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in lazy_commands(COMMANDS):
            self.add_command(command)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"qstar {metadata.version('qstar')}")
        raise typer.Exit


@app.callback()
def qstar(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version),
    ] = False,
) -> None:
    """Serve, study and train language models that think before each token."""
    del version  # printed by its callback


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except QStarError as error:
        console = Console(stderr=True)
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        sys.exit(USER_ERROR_EXIT_CODE)


if __name__ == "__main__":
    main()
