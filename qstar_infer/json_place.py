"""Values of an untrusted JSON file, each with its place in the file, for errors that name it."""

import json
import math
from collections.abc import Sequence
from typing import Any

from qstar_infer.errors import shown

MAX_INTEGER = 2**63 - 1


class JsonError(ValueError):
    """A text is no JSON, or a value in it is missing or of a wrong type; the message says where."""


class JsonPlace:
    """A value, and where it stands.

    Attributes:
        value: whatever the JSON has there.
    """

    def __init__(self, value: Any, path: str = "") -> None:
        """
        Args:
            path: such as `runs[0].choices[1].text`; empty for the whole file.
        """
        self.value = value
        self._path = path

    def error(self, wanted: str) -> JsonError:
        """An error that names the place and the value."""
        return JsonError(f"{self._path or 'the file'} must be {wanted}, not {shown(self.value)}")

    def field(self, name: str) -> "JsonPlace":
        """A field of an object.

        Raises:
            JsonError: this is no object, or has no such field.
        """
        found = self.optional(name)
        if found is None:
            raise JsonError(f"{self._child(name)} is missing")
        return found

    def optional(self, name: str) -> "JsonPlace | None":
        """A field of an object; None if it is absent.

        Raises:
            JsonError: this is no object.
        """
        if name not in self.object():
            return None
        return JsonPlace(self.value[name], self._child(name))

    def object(self) -> dict[str, Any]:
        """The value, which must be an object."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return self.value

    def items(self, *, at_least: int = 0) -> list["JsonPlace"]:
        """The items of a list, which must have so many of them."""
        if not isinstance(self.value, list) or len(self.value) < at_least:
            raise self.error(f"a list of at least {at_least}" if at_least else "a list")
        return [JsonPlace(item, f"{self._path}[{n}]") for n, item in enumerate(self.value)]

    def text(self) -> str:
        """The value, which must be a string."""
        if not isinstance(self.value, str):
            raise self.error("a string")
        return self.value

    def one_of(self, words: Sequence[str]) -> str:
        """The value, which must be one of some strings."""
        if self.value not in words:
            raise self.error(" or ".join(f'"{word}"' for word in words))
        return self.text()

    def boolean(self) -> bool:
        """The value, which must be true or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def integer(self, *, low: int = 0) -> int:
        """The value, which must be a whole number from `low` to `MAX_INTEGER`."""
        is_int = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not is_int or not low <= self.value <= MAX_INTEGER:
            raise self.error(f"a whole number of at least {low}")
        return int(self.value)

    def number(self, *, high: float = math.inf) -> float:
        """The value, which must be a finite number, not above `high`."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        limit = "a number" if high == math.inf else f"a number of at most {high:g}"
        try:
            number = float(self.value) if is_number else math.nan
        except OverflowError:  # an integer of hundreds of digits
            number = math.nan
        if not math.isfinite(number) or number > high:
            raise self.error(limit)
        return number

    def _child(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def parse_json(text: str) -> JsonPlace:
    """The value that a JSON text has.

    Raises:
        JsonError: it is no JSON, has NaN or Infinity, or is nested too deeply.
    """
    try:
        return JsonPlace(json.loads(text, parse_constant=_refuse_constant))
    except RecursionError:
        raise JsonError("it is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError too, and integers of thousands of digits
        raise JsonError(f"it is no JSON: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
