"""The form that a request wants its text to have. Plain data, validated on construction."""

import json as json_text
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qstar_infer.errors import RequestError, shown

MAX_SCHEMA_CHARS = 131_072
"""Most characters of a JSON schema, or of all choices together."""
MAX_GRAMMAR_CHARS = 32_768
"""Most characters of a regex or a grammar."""

Kind = str
"""Which field of `StructuredOutputs` is set: json, json_object, regex, choice or grammar."""
KINDS = ("json", "json_object", "regex", "choice", "grammar")


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuredOutputs:
    """Exactly one of the first five fields, as in vLLM. Hashable.

    Whether an engine can follow it is known only when `Engine.admit` has compiled it.

    Raises:
        RequestError: none or several are set, or one is too long or of a wrong type.
    """

    json: str | Mapping[str, Any] | bool | None = None
    """A JSON schema; stored as JSON text."""
    json_object: bool | None = None
    """True: any JSON object."""
    regex: str | None = None
    """The whole text matches it. In the syntax of Rust's `regex`, without look-around."""
    choice: tuple[str, ...] | None = None
    """The text is one of these."""
    grammar: str | None = None
    """A context-free grammar, in the syntax of Lark or GBNF."""
    param: str = field(default="structured_outputs", compare=False)
    """The request's field that errors name."""

    def __post_init__(self) -> None:
        if self.json_object is False:
            object.__setattr__(self, "json_object", None)
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "is empty"
            raise self._error(f"{what}; give exactly one of {', '.join(KINDS)}")
        if self.json is not None:
            object.__setattr__(self, "json", self._schema_text(self.json))
        elif self.choice is not None:
            object.__setattr__(self, "choice", self._checked_choice(self.choice))
        elif self.json_object is None:
            self._check_text(given[0], getattr(self, given[0]))
        elif self.json_object is not True:
            raise self._error(f"json_object must be true or false, got {shown(self.json_object)}")

    @property
    def kind(self) -> Kind:
        """The field that is set."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    def _schema_text(self, schema: object) -> str:
        """A schema as JSON text, checked to be JSON, but not to be a schema."""
        if isinstance(schema, str):
            self._check_text("json", schema)
        try:
            value = json_text.loads(schema) if isinstance(schema, str) else schema
            is_schema = isinstance(value, Mapping | bool)
            text = json_text.dumps(value, ensure_ascii=False, allow_nan=False, default=dict)
        except (TypeError, ValueError):
            raise self._error("holds a schema that is not JSON") from None
        except RecursionError:
            raise self._error("holds a schema that is nested too deeply") from None
        if not is_schema:
            raise self._error(f"holds a schema that is no JSON object: {shown(value)}")
        self._check_text("json", text)
        return text

    def _checked_choice(self, choice: object) -> tuple[str, ...]:
        if isinstance(choice, str) or not isinstance(choice, list | tuple) or not choice:
            raise self._error(f"has a choice that is no list of texts: {shown(choice)}")
        for text in choice:
            self._check_text("choice", text)
        if sum(map(len, choice)) > MAX_SCHEMA_CHARS:
            raise self._error(f"has choices with more than {MAX_SCHEMA_CHARS} characters")
        return tuple(dict.fromkeys(choice))

    def _check_text(self, name: str, text: object) -> None:
        if not isinstance(text, str) or not text:
            raise self._error(f"has a {name} that is not a text with characters: {shown(text)}")
        most = MAX_GRAMMAR_CHARS if name in ("regex", "grammar") else MAX_SCHEMA_CHARS
        if len(text) > most:
            raise self._error(f"has a {name} of {len(text)} characters; the most is {most}")

    def _error(self, what: str) -> RequestError:
        return RequestError(f"{self.param} {what}", param=self.param)


def read_structured_outputs(value: object) -> StructuredOutputs:
    """The value, or the mapping with its fields, as in a request.

    Raises:
        RequestError: it is neither, or has a field that is not known.
    """
    if isinstance(value, StructuredOutputs):
        return value
    param = "structured_outputs"
    if not isinstance(value, Mapping):
        raise RequestError(f"{param} must be an object, got {shown(value)}", param=param)
    for name in value:
        if name not in KINDS:
            raise RequestError(
                f"{param} has the unknown field {shown(name)}; give exactly one of "
                f"{', '.join(KINDS)}",
                param=param,
            )
    return StructuredOutputs(**value)
