"""The `qstar` command: lists the subcommands and prints errors as one line.

Imports no command and no torch; see `qstar_infer.cli.lazy`.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from qstar_infer.cli.lazy import lazy_commands
from qstar_infer.cli.streams import OutputError, exact_streams
from qstar_infer.cli.terminal import make_messages_printable, printable, safe_text
from qstar_infer.errors import EngineDeadError, QStarError, RequestFailedError

COMMANDS = {
    "generate": "qstar_infer.cli.generate:generate",
    "chat": "qstar_infer.cli.chat:chat",
    "show": "qstar_infer.cli.show:show",
    "init": "qstar_infer.cli.init:init",
    "convert": "qstar_infer.cli.convert:convert",
    "inspect": "qstar_infer.cli.inspect:inspect",
    "bench": "qstar_infer.cli.bench.app:app",
}
USER_ERROR_EXIT_CODE = 2
FAILURE_EXIT_CODE = 1
BROKEN_PIPE_EXIT_CODE = 141
"""What a shell reports for a program that SIGPIPE has ended."""


class LazyGroup(TyperGroup):
    """The command group, with placeholders instead of imported commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in lazy_commands(COMMANDS):
            self.add_command(command)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options of the group."""
        with _printable_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse the command's arguments and run it."""
        with _printable_usage_errors():
            return super().invoke(ctx)


_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of the click that typer uses, which may be a copy of its own."""


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    """A wrong argument is quoted in its error."""
    try:
        yield
    except _UsageError as error:
        vars(error)["message"] = printable(vars(error)["message"])
        raise


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
    make_messages_printable()
    # At each import it advises a package that would fetch compute kernels from a hub and run them.
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    try:
        with exact_streams():
            app()
    except OutputError as error:
        if error.is_broken_pipe:
            sys.exit(BROKEN_PIPE_EXIT_CODE)
        _exit(error, FAILURE_EXIT_CODE)
    except (RequestFailedError, EngineDeadError) as error:
        _exit(error, FAILURE_EXIT_CODE)
    except QStarError as error:
        _exit(error, USER_ERROR_EXIT_CODE)


def _exit(error: QStarError, code: int) -> NoReturn:
    console = Console(stderr=True)
    console.print(safe_text(f"error: {error}", "red"), soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
