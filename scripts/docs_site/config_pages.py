"""The reference of recipes: the settings of `qstar train` and `qstar eval`, from their classes."""

import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from qstar_eval.config import EvalConfig
from qstar_train.config import TrainConfig
from qstar_train.config_file import Config

PAGE = "reference/recipes.md"


def pages() -> dict[str, str]:
    """The page by its path in the site."""
    parts = [
        "# Settings of recipes\n",
        "What may stand in the YAML files of `qstar train` and `qstar eval`, made from the code. "
        "`--set objective.num_talk_tokens=2` gives one value on the command line. How they work "
        "together is in [training and evaluation](../training.md).\n",
        *_sections("qstar train", TrainConfig),
        *_sections("qstar eval", EvalConfig),
    ]
    return {PAGE: "\n".join(parts)}


def _sections(command: str, config: type[Config]) -> Iterator[str]:
    yield f"## `{command}`\n"
    waiting: list[tuple[str, type[Config]]] = [("", config)]
    while waiting:
        place, kind = waiting.pop(0)
        if place:
            yield f"### `{place}`\n"
        if kind.__doc__:
            yield f"{_cell(kind.__doc__)}\n"
        yield "| setting | default | meaning |\n|---|---|---|"
        for name, field in kind.model_fields.items():
            yield f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |"
            path = f"{place}.{name}".removeprefix(".")
            is_list = typing.get_origin(field.annotation) in (list, tuple)
            waiting += [(path + ".0" * is_list, below) for below in _configs(field.annotation)]
        yield ""


def _configs(annotation: Any) -> Iterator[type[Config]]:
    """The config classes in a type, such as `list[SourceConfig]` or `LoraConfig | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, Config):
            yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _configs(part)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Config):
        return "see below"
    match value:
        case None:
            return "`null`"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple() | list():
            return f"`{list(value)}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    text = re.sub(r"\bNone: ", "`null`: ", text)
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
