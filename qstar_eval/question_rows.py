"""Rows of jsonl files, and checks of their values."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from qstar_infer.errors import ConfigError
from qstar_train.data.text_files import read_text_file

T = TypeVar("T")


class RowError(Exception):
    """What is wrong with a row; the caller adds the row's number."""


def parsed(
    rows: Iterable[Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], T], path: str
) -> Iterator[T]:
    """Parse each row.

    Raises:
        ConfigError: `parse` raised `RowError`; names the row, counted from 1.
    """
    for number, row in enumerate(rows, start=1):
        try:
            yield parse(row)
        except RowError as error:
            raise ConfigError(f"{path}, row {number}: {error}") from None


def local_rows(path: str, files: list[Path]) -> Iterator[dict[str, Any]]:
    """The objects in the lines of a jsonl file.

    Args:
        path: as the config names it.
        files: what it names: one file.

    Raises:
        ConfigError: it is not one jsonl file, or a line is not an object.
    """
    if len(files) != 1 or files[0].suffix != ".jsonl":
        raise ConfigError(f"{path}: questions are read from one .jsonl file. Give that file.")
    lines = read_text_file(files[0]).split("\n")
    if not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deep
            raise ConfigError(f"{path}, row {number} is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise ConfigError(
                f"{path}, row {number} is a {type(row).__name__}. Write an object, such as "
                '{"question": "2 + 2?", "answer": "4"}.'
            )
        yield row


def text_at(row: Mapping[str, Any], key: str) -> str:
    """The text at a key.

    Raises:
        RowError: there is none, it is blank, or UTF-8 cannot hold it.
    """
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{key} must be a text that is not empty, got {shown(value)}.")
    return encodable(value, key)


def encodable(text: str, key: str) -> str:
    """Check that tokenizers accept a text: JSON can hold a lone surrogate, UTF-8 cannot.

    Raises:
        RowError: they do not.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(
            f"{key} holds {text[error.start]!r}, which is half a character. Take it out, or write "
            "the whole character."
        ) from None
    return text


def shown(value: object) -> str:
    """A value's repr, cut to fit one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
