"""Read a config from a YAML file and `key=value` assignments; check it once; never change it."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from qstar_infer.errors import ConfigError


class Config(BaseModel):
    """Base of every config class: frozen; rejects unknown keys, NaN and infinity."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _check_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject true and false for numbers: pydantic would read true as 1."""
        items = value if isinstance(value, list) else [value]
        if (
            any(isinstance(item, bool) for item in items)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError("true and false are no value of this setting")
        return value


C = TypeVar("C", bound=Config)


def load_config(kind: type[C], path: Path | None, assignments: Sequence[str] = ()) -> C:
    """Read a config: assignments override the file, the file overrides the defaults.

    Args:
        kind: the class to read.
        path: a YAML file; None: only defaults and assignments.
        assignments: `a.b.c=value`; the value is YAML, so `[1, 2]`, `true` and `null` work. A number
            in the key is an index of a list.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong; the message names the key,
            the value and what is allowed.
    """
    values = {} if path is None else _read(path)
    for assignment in assignments:
        _assign(values, assignment)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_describe(kind, detail) for detail in error.errors(include_url=False)]
        raise ConfigError("; ".join(dict.fromkeys(problems))) from error


def differences(then: Any, now: Any, key: str = "") -> Iterator[str]:
    """Each value that differs between two dumped configs: `a.b.c was 1 and is 2`."""
    if isinstance(then, list) and isinstance(now, list):
        then, now = dict(enumerate(then)), dict(enumerate(now))
    if not (isinstance(then, dict) and isinstance(now, dict)):
        if then != now:
            yield f"{key} was {then!r} and is {now!r}"
        return
    for name in dict.fromkeys([*then, *now]):
        inner = f"{key}.{name}" if key else str(name)
        yield from differences(then.get(name), now.get(name), inner)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Give a YAML file.") from error
    # ValueError: an impossible date; RecursionError: nested too deep
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold `key: value` lines, not a {type(values).__name__}.")
    return values


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Set one `a.b.c=value` in nested dictionaries and lists."""
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {assignment!r} is not of the form key=value.")
    *parents, last = key.strip().split(".")
    here: Any = values
    for name in parents:
        if isinstance(here, dict) and here.get(name) is None:
            here[name] = {}
        here = here[_place(here, name, key)]
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # as in `_read`
        raise ConfigError(
            f"--set {key}: {text!r} is not YAML: {error}. Put text that YAML reads as something "
            "else in quotation marks."
        ) from error
    here[_place(here, last, key)] = value


def _place(here: Any, name: str, key: str) -> str | int:
    """What a part of a key stands for: a key of a dictionary, or an index of a list."""
    if isinstance(here, dict):
        return name
    if not isinstance(here, list):
        raise ConfigError(f"--set {key}: {name!r} is below a value, which has no further keys.")
    if not name.isdigit() or int(name) >= len(here):
        raise ConfigError(f"--set {key}: {name!r} is no index of the list, which has {len(here)}.")
    return int(name)


def _describe(kind: type[Config], detail: ErrorDetails) -> str:
    """One problem: the key, the value, and what is allowed."""
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{key} is not a setting{_suggestion(kind, detail['loc'])}"
    if detail["type"] == "missing":
        return f"{key} is missing and has no default"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    name = f"{key} = {detail['input']!r}: " if key else ""
    return f"{name}{message}"


def _suggestion(kind: type[Config], location: tuple[int | str, ...]) -> str:
    """The closest allowed name, or all of them if none is close."""
    here: Any = kind
    for part in location[:-1]:
        if isinstance(part, str) and isinstance(here, type) and issubclass(here, Config):
            here = _config_within(here.model_fields[part].annotation)
    if here is None:
        return ""
    close = get_close_matches(str(location[-1]), list(here.model_fields), n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; the settings here are {', '.join(here.model_fields)}"


def _config_within(annotation: Any) -> type[Config] | None:
    """The config class in `X`, `X | None`, `list[X]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _config_within(inner)
        if found is not None:
            return found
    return None
