"""Every engine setting as an option of a command, from the declarations in `EngineArgs`."""

import inspect
from collections.abc import Callable, Container, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from qstar_infer.config import parse_speculation
from qstar_infer.engine_args import EngineArgs, setting_help, setting_types

PANEL = "Engine options (each also by environment, such as QSTAR_DTYPE)"
_KEYWORD = "engine_args"
_OPTION_TYPES: dict[Any, Any] = {int: int | None, int | None: int | None, bool: bool | None}
"""Types of settings that are not parsed as text."""


def with_engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command one option for each engine setting.

    The command declares a parameter `engine_args: EngineArgs` and gets the settings there. The
    command line wins over QSTAR_* variables, and those win over the defaults. A setting whose name
    the command declares itself gets no option: that parameter is the command's own. The one
    exception is `model`, which sets the model as well (`qstar serve MODEL`).

    Raises:
        ConfigError: when the command runs, if a setting is out of range.
    """
    declared = dict(inspect.signature(command).parameters)
    del declared[_KEYWORD]
    options = engine_options(declared)
    settings = {option.name for option in options} | {"model"}

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: value for name, value in values.items() if name in settings}
        own = {name: value for name, value in values.items() if name in declared}
        command(**own, engine_args=engine_args_of(given))

    parameters = [*declared.values(), *options]
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def engine_options(declared: Container[str]) -> list[inspect.Parameter]:
    """A parameter of a typer command for each engine setting.

    Args:
        declared: names of settings that get none.
    """
    return [_option(name) for name in setting_types() if name not in declared]


def engine_args_of(
    values: Mapping[str, Any], *, file_settings: Mapping[str, Any] | None = None
) -> EngineArgs:
    """The settings from what a command line gave, the environment, and a file, in this order.

    Args:
        values: by name; None means that the command line did not give it.

    Raises:
        ConfigError: a setting is out of range.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if "speculation" in given:
        given["speculation"] = parse_speculation(given["speculation"])
    return EngineArgs.from_environment(file_settings=file_settings, **given)


def _option(name: str) -> inspect.Parameter:
    default = _default(name)
    kind = setting_types()[name]
    flag = name.replace("_", "-")
    option = typer.Option(
        f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
        *(["-m"] if name == "model" else []),
        help=setting_help(name),
        show_default=False if default is None or kind is bool else str(default),
        rich_help_panel=PANEL,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        # None means that the user did not give it. Words are checked by `EngineArgs`.
        annotation=Annotated[_OPTION_TYPES.get(kind, str | None), option],
    )


def _default(name: str) -> Any:
    defaults = EngineArgs()
    return getattr(defaults if hasattr(defaults, name) else defaults.engine, name)
