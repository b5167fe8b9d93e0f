"""The standard streams of a command: exact UTF-8 in a pipe or file, and errors of writing.

Python encodes for the locale, so the same text would be other bytes on another machine, or a
traceback. A terminal keeps its encoding; characters that it cannot show are escaped.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

import typer

from qstar_infer.errors import QStarError


class OutputError(QStarError):
    """The output cannot be written.

    Attributes:
        is_broken_pipe: the reader has closed the pipe, which is no error of its user: `| head -1`.
    """

    def __init__(self, reason: str, *, is_broken_pipe: bool = False) -> None:
        super().__init__(f"the output cannot be written: {reason}")
        self.is_broken_pipe = is_broken_pipe


@contextmanager
def exact_streams() -> Iterator[None]:
    """Use exact streams for the body of a `with`, and flush stdout at its end.

    Raises:
        OutputError: stdout is closed, or cannot be written to.
    """
    if isinstance(sys.stdin, io.TextIOWrapper) and not sys.stdin.isatty():
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")
    if isinstance(sys.stderr, io.TextIOWrapper):
        encoding = None if sys.stderr.isatty() else "utf-8"
        sys.stderr.reconfigure(encoding=encoding, errors="backslashreplace")
    original = sys.stdout
    output = _ClosedOutput() if original is None else _Output.over(original)
    sys.stdout = output
    try:
        try:
            yield
        finally:
            output.flush()
    except OutputError:
        _discard_rest(output)
        raise
    finally:
        sys.stdout = original
        output.release()


def text_of_argument(text: str) -> str:
    """An argument of the command line as UTF-8, whatever the locale.

    Raises:
        typer.BadParameter: it is not UTF-8.
    """
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        raise typer.BadParameter("the text is not UTF-8") from None


class _Output(io.TextIOWrapper):
    """stdout; raises an OutputError in place of an OSError."""

    @classmethod
    def over(cls, original: TextIO) -> "_Output":
        original.flush()
        is_terminal = original.isatty()
        return cls(
            original.buffer,
            encoding=original.encoding if is_terminal else "utf-8",
            errors="backslashreplace",
            newline="\n" if not is_terminal else None,
            line_buffering=is_terminal,
        )

    def write(self, text: str) -> int:
        with _output_errors():
            return super().write(text)

    def flush(self) -> None:
        with _output_errors():
            super().flush()

    def release(self) -> None:
        """Leave the buffer to the original stream."""
        self.detach()


class _ClosedOutput(io.TextIOBase):
    """Takes the place of a stdout that was closed before the start."""

    def write(self, text: str) -> NoReturn:
        """Always raises."""
        del text
        raise OutputError("stdout is closed")

    def release(self) -> None:
        """Nothing to release."""


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_broken_pipe = isinstance(error, BrokenPipeError)
        reason = error.strerror or str(error)
        raise OutputError(reason, is_broken_pipe=is_broken_pipe) from error


def _discard_rest(output: io.TextIOBase) -> None:
    """Send what is still buffered nowhere: Python would try to write it once more at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, output.fileno())
        os.close(null)
