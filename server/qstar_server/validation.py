"""Validation failures in plain words, bounded in size.

A body of a few kilobytes can hold thousands of errors, each repeating its input: answering them in
full would let a small request draw a huge answer, and would echo prompts.
"""

from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

MAX_ERRORS = 10
MAX_INPUT_CHARS = 200
_MAX_PLACE_CHARS = 100


def describe_validation_error(
    error: ValidationError | RequestValidationError,
) -> tuple[str, str | None]:
    """A message of at most `MAX_ERRORS` failures, and the first field at fault."""
    failures = _failures(error)
    lines = [_line(failure) for failure in failures[:MAX_ERRORS]]
    if len(failures) > MAX_ERRORS:
        lines.append(f"and {len(failures) - MAX_ERRORS} more")
    first = failures[0]["loc"] if failures else ()
    param = str(first[0])[:_MAX_PLACE_CHARS] if first else None
    return "; ".join(lines), param


def shown(value: object) -> str:
    """At most `MAX_INPUT_CHARS` characters of a rejected value: enough to recognise it."""
    if isinstance(value, str):
        value = value[: MAX_INPUT_CHARS + 1]
    text = repr(value)
    return text if len(text) <= MAX_INPUT_CHARS else text[: MAX_INPUT_CHARS - 3] + "..."


def _failures(error: ValidationError | RequestValidationError) -> Sequence[Any]:
    if isinstance(error, ValidationError):
        return error.errors(include_url=False, include_context=False)
    return error.errors()


def _line(failure: Any) -> str:
    place = ".".join(str(part) for part in failure["loc"])[:_MAX_PLACE_CHARS]
    message = str(failure["msg"]).removeprefix("Value error, ")
    # The input of a missing field is the whole body, that of a value error may be a prompt.
    if failure["type"] in ("missing", "value_error"):
        return f"{place}: {message}"
    return f"{place}: {message}, got {shown(failure['input'])}"
