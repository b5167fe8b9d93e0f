"""Where the lines of a chat come from: a pipe, or a terminal without special keys.

`qstar_infer.cli.prompt_line` has the input line of other terminals.
"""

import sys
from contextlib import suppress
from typing import Protocol

import typer
from rich.console import Console

from qstar_infer.cli.reading.ability import can_read
from qstar_infer.cli.streams import text_of_argument
from qstar_infer.errors import ConfigError

PROMPT = "you> "


class LineNotUtf8Error(ValueError):
    """A typed line is not UTF-8."""


class LineSource(Protocol):
    """Gives the lines of a user."""

    def read(self) -> str | None:
        """The next line, stripped; None at the end of the input.

        Raises:
            LineNotUtf8Error: in a terminal.
            KeyboardInterrupt: Ctrl-C, in a terminal.
        """
        ...


class PipedLines:
    """Lines of a pipe or a file."""

    def __init__(self) -> None:
        self._is_first = True

    def read(self) -> str | None:
        """The next line.

        Raises:
            ConfigError: it is not UTF-8.
        """
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            raise ConfigError("a line of the conversation is not UTF-8; convert it") from None
        if self._is_first:
            line = line.removeprefix("\ufeff")  # a file's byte order mark is no text
        self._is_first = False
        return line.strip() if line else None


class TypedLines:
    """Lines of a terminal without an input line, or whose answers go to a file."""

    def __init__(self) -> None:
        with suppress(ImportError):
            import readline  # noqa: F401  where it exists, `input` has line editing and history

    def read(self) -> str | None:
        """The next line."""
        try:
            return text_of_argument(input(PROMPT)).strip()
        except EOFError:
            return None
        except (UnicodeDecodeError, typer.BadParameter):
            raise LineNotUtf8Error from None


def has_input_line(console: Console) -> bool:
    """Whether the user sits at a terminal that can show an input line with keys."""
    return sys.stdin.isatty() and can_read(console)
