"""What a parser of tool calls gives, whatever the format."""

import json
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call that the model made."""

    name: str
    arguments: str
    """A JSON object, as text."""


@dataclass(slots=True)
class Found:
    """What a piece of text adds to an answer."""

    content: str = ""
    calls: list[FoundCall] = field(default_factory=list)


class ToolCallParser(Protocol):
    """Separates the content of one answer from its calls, piece by piece.

    The pieces of content add up to the same text, however the answer is cut. What is no valid call
    stays content.
    """

    def push(self, text: str) -> Found:
        """What the next piece adds. Holds back what may become part of a call."""
        ...

    def flush(self) -> Found:
        """What was held back, at the end of the answer."""
        ...


def read_call(text: str, *, names: Container[str], arguments_key: str) -> FoundCall | None:
    """A call from JSON such as `{"name": "f", "arguments": {}}`; None if it is no valid one.

    Args:
        names: the functions that may be called.
        arguments_key: the key of the arguments.
    """
    try:
        call = json.loads(text, parse_constant=_refuse)
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return None
        arguments = call.get(arguments_key, {})
        if call["name"] not in names or not isinstance(arguments, dict):
            return None
        return FoundCall(call["name"], _json(arguments))
    except (ValueError, RecursionError):
        return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
