"""Refuses JSON schemas that llguidance follows otherwise than they say, or crashes on."""

from collections.abc import Mapping
from decimal import Decimal
from math import lcm
from typing import Any

from qstar_infer.errors import shown

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_CONSTANTS = ("const", "enum")
_PATTERNS = ("pattern", "format")
_MAX_INT = 2**63 - 1
_MAX_MULTIPLE = 20_000
"""llguidance makes as many states as the least common multiple has units: some 100 bytes each."""
_MAX_COMBINED = 10
"""Most patterns that may be intersected: with 20 it takes seconds, with 50 gigabytes."""


def check_schema(schema: Any) -> None:
    """Look at every value in the schema: a `$ref` may lead to any.

    Raises:
        ValueError: it has what is not followed exactly.
    """
    waiting = [(schema, False)]  # not recursive: it may be nested deeply
    multiple, num_patterns, is_combined = 1, 0, False
    while waiting:
        value, is_constant = waiting.pop()
        if isinstance(value, Mapping):
            for name in _BOUNDS:
                _check_bound(name, value.get(name))
            _check_min_properties(value)
            multiple = lcm(multiple, _units(value.get("multipleOf")))
            num_patterns += sum(isinstance(value.get(name), str) for name in _PATTERNS)
            is_combined |= "allOf" in value or (
                "$ref" in value and not value.keys().isdisjoint(_PATTERNS)
            )
            _check_combined(multiple, num_patterns if is_combined else 0)
            waiting += [(each, is_constant or name in _CONSTANTS) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [(each, is_constant) for each in value]
        elif is_constant and isinstance(value, int):
            _check_constant(value)


def _check_bound(name: str, bound: Any) -> None:
    """llguidance ignores a bool, and takes other bounds as doubles, cut to 64 bits."""
    if isinstance(bound, bool):
        raise ValueError(f"{name} must be a number, got {shown(bound)}")
    if not isinstance(bound, int | float):
        return
    is_wide = bound >= _MAX_INT and name in ("maximum", "exclusiveMaximum")
    is_exact = abs(bound) <= _MAX_INT and float(bound) == bound
    if not is_wide and not is_exact:
        raise ValueError(f"{name} is {shown(bound)}, which is too large to be followed exactly")


def _units(multiple: Any) -> int:
    """A `multipleOf` without its power of ten, which costs nothing."""
    if isinstance(multiple, bool) or not isinstance(multiple, int | float):
        return 1
    digits = Decimal(repr(multiple)).as_tuple().digits
    return int("".join(map(str, digits)).rstrip("0") or "1")


def _check_combined(multiple: int, num_patterns: int) -> None:
    """Whether what `allOf` and `$ref` may combine stays small, wherever it stands."""
    if multiple > _MAX_MULTIPLE:
        raise ValueError(
            f"the least common multiple of its multipleOf is {shown(multiple)} (powers of ten "
            f"aside); the most is {_MAX_MULTIPLE}"
        )
    if num_patterns > _MAX_COMBINED:
        raise ValueError(
            f"it has allOf, or a $ref with a pattern, and {num_patterns} patterns and formats; the "
            f"most that can be combined are {_MAX_COMBINED}"
        )


def _check_constant(value: int) -> None:
    """llguidance writes long integers as doubles, in the fewest digits."""
    try:
        is_exact = abs(value) <= 2**53 or Decimal(repr(float(value))) == value
    except OverflowError:
        is_exact = False
    if not is_exact:
        raise ValueError(f"the constant {shown(value)} is too large to be followed exactly")


def _check_min_properties(schema: Mapping[str, Any]) -> None:
    """Of the properties that a schema does not name, one may come twice: both would be counted."""
    least, required = schema.get("minProperties"), schema.get("required")
    num_required = len(set(map(str, required))) if isinstance(required, list) else 0
    if isinstance(least, int) and least > num_required + 1:
        raise ValueError(
            f"minProperties is {shown(least)}, but {num_required} properties are required; this "
            "server can count at most one more, so name more of them in required"
        )
