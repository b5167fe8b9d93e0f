"""The settings of `qstar serve`: options, environment and file become the two objects it runs with.

A setting is taken from the command line; if it is not there, from the environment; then from the
file; then it has its default.
"""

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from qstar_infer.cli.engine_options import engine_args_of, engine_options
from qstar_infer.engine_args import ENVIRONMENT_PREFIX, EngineArgs, setting_types
from qstar_infer.errors import ConfigError
from qstar_server.http.errors import shown
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings_file import read_settings_file

PANEL = "Server options (each also by environment, such as QSTAR_PORT)"
WITHOUT_OPTION = ("api_key", "api_keys")
"""Secrets. A command line can be read by other users of the machine."""
_FLAGS = {"allow_origins": "--allow-origin", "allowed_hosts": "--allowed-host"}
"""Options that are given once for each item of a list."""
_FILE = "config_file"
_FILE_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"
_OTHER_VARIABLES = {_FILE_VARIABLE, "QSTAR_CACHE", "QSTAR_BASE_URL"}
"""Variables that are no settings: the file, where compiled code is kept, the client's server."""
_FileOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file with settings by name, such as max_num_seqs: 8. Options and environment "
        "win over it.",
        show_default=f"that of {_FILE_VARIABLE}",
        rich_help_panel=PANEL,
    ),
]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command an option for each setting of the engine and of the server.

    The command declares parameters `engine_args: EngineArgs` and `config: ServerConfig` and gets
    the settings there; and `model`, which it may ignore.

    Raises:
        ConfigError: when the command runs, if a setting is unknown or wrong. The message names
            where it was set.
    """
    declared = dict(inspect.signature(command).parameters)
    model = declared.pop("model")
    engine = engine_options(declared={"model"})
    server = [_server_option(name, field) for name, field in _server_fields().items()]
    file = inspect.Parameter(
        _FILE, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_FileOption
    )

    @wraps(command)
    def run(**values: Any) -> None:
        engine_args, config = resolve(values, os.environ)
        command(values["model"], engine_args=engine_args, config=config)

    parameters = [model, file, *server, *engine]
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def resolve(
    values: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[EngineArgs, ServerConfig]:
    """The settings of the engine and of the server.

    Args:
        values: what the command line gave, by name; None: not given.
        environ: the environment, which must be that of the process.
    """
    given = {name: value for name, value in values.items() if value not in (None, [])}
    path = given.pop(_FILE, None) or environ.get(_FILE_VARIABLE)
    in_file = {} if not path else _checked_file(Path(path))
    of_engine = {name: given[name] for name in given if name in setting_types()}
    of_server = {name: given[name] for name in given if name in ServerConfig.model_fields}
    file_of_engine = {name: in_file[name] for name in in_file if name in setting_types()}
    file_of_server = {name: in_file[name] for name in in_file if name not in setting_types()}
    if file_of_engine:
        _check_engine_settings(file_of_engine, str(path))
    return (
        engine_args_of(of_engine, file_settings=file_of_engine),
        _server_config(of_server, file_of_server, environ, source=str(path)),
    )


def changed_settings(engine_args: EngineArgs, config: ServerConfig) -> dict[str, Any]:
    """The settings that are not the defaults, by name. Keys are objects that do not show them."""
    now = engine_args.settings() | {name: getattr(config, name) for name in _server_defaults()}
    defaults = EngineArgs().settings() | _server_defaults()
    return {name: value for name, value in now.items() if value != defaults[name]}


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none."""
    names = (*setting_types(), *ServerConfig.model_fields)
    known = {ENVIRONMENT_PREFIX + name.upper() for name in names} | _OTHER_VARIABLES
    return sorted(
        name for name in environ if name.startswith(ENVIRONMENT_PREFIX) and name not in known
    )


def flag_of(name: str) -> str:
    """The option that sets a setting of the server."""
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def help_of(field: FieldInfo) -> str:
    """What a setting of the server means, on one line."""
    return " ".join((field.description or "").split())


def default_of(field: FieldInfo) -> Any:
    """The default of a setting of the server."""
    return field.get_default(call_default_factory=True, validated_data={})


def _server_defaults() -> dict[str, Any]:
    return {name: default_of(field) for name, field in ServerConfig.model_fields.items()}


def _server_fields() -> dict[str, FieldInfo]:
    return {
        name: field
        for name, field in ServerConfig.model_fields.items()
        if name not in WITHOUT_OPTION
    }


def _server_option(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = flag_of(name)
    is_switch = field.annotation is bool
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if is_switch else flag,
        help=help_of(field),
        show_default=False if is_switch else default_text(field),
        rich_help_panel=PANEL,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_option_type(field), option],
    )


def default_text(field: FieldInfo) -> str:
    """A default as it is shown to a user."""
    default = default_of(field)
    if isinstance(default, bool):
        return "yes" if default else "no"
    is_empty = default is None or (not isinstance(default, int | float) and not default)
    return "none" if is_empty else str(default)


def _option_type(field: FieldInfo) -> Any:
    """The type of an option. None means that it was not given."""
    kinds: dict[Any, Any] = {tuple: list[str], dict: str}
    kind: Any = kinds.get(get_origin(field.annotation), field.annotation)
    return Union[kind, None]  # noqa: UP007 - known only now


def _checked_file(path: Path) -> dict[str, Any]:
    settings = read_settings_file(path)
    known = (*setting_types(), *ServerConfig.model_fields)
    for name, value in settings.items():
        if name not in known:
            similar = get_close_matches(name, known, n=1)
            hint = f"; did you mean {similar[0]}?" if similar else ""
            raise ConfigError(f"{path}: {name!r} is not a setting{hint}")
        if isinstance(value, bool) and _type_of(name) is not bool:
            raise ConfigError(
                f"{path}: {name} cannot be true or false. YAML reads on, off, yes and no so; put a "
                "word in quotation marks"
            )
    return settings


def _type_of(name: str) -> Any:
    if name in setting_types():
        return setting_types()[name]
    return ServerConfig.model_fields[name].annotation


def _check_engine_settings(settings: Mapping[str, Any], source: str) -> None:
    for name, value in settings.items():
        is_text = str in (setting_types()[name], *get_args(setting_types()[name]))
        if is_text and not isinstance(value, str | None):
            raise ConfigError(f"{source}: {name} must be a text, got {value!r}")
    try:
        EngineArgs.of(**settings)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _server_config(
    given: Mapping[str, Any],
    in_file: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    source: str,
) -> ServerConfig:
    in_environment = {name.upper() for name in environ}

    def variable(name: str) -> str | None:
        full = ENVIRONMENT_PREFIX + name.upper()
        return full if full in in_environment else None

    def source_of(name: str) -> str:
        return flag_of(name) if name in given else variable(name) or f"{source}: {name}"

    below = {name: value for name, value in in_file.items() if variable(name) is None}
    try:
        return ServerConfig(**{**below, **_parsed(given)})
    except ValidationError as error:
        raise ConfigError("; ".join(_problems(error, source_of))) from None
    except SettingsError as error:
        raise ConfigError(f"{error}: it must be JSON") from None


def _parsed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options, those that are JSON decoded."""
    return {name: _json(name, text) if _is_json(name) else text for name, text in given.items()}


def _is_json(name: str) -> bool:
    return get_origin(ServerConfig.model_fields[name].annotation) is dict


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{flag_of(name)} must be JSON, got {text!r}: {error}") from None


def _problems(error: ValidationError, source_of: Callable[[str], str]) -> Iterator[str]:
    for failure in error.errors(include_url=False, include_context=False):
        message = str(failure["msg"]).removeprefix("Value error, ")
        name = str(failure["loc"][0]) if failure["loc"] else ""
        # A value error says enough, and its input may be a secret.
        got = "" if failure["type"] == "value_error" else f", got {shown(failure['input'])}"
        yield f"{source_of(name)}: {message}{got}" if name else message
