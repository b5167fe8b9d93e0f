"""Reads a file of settings: YAML, with one `name: value` for each."""

from pathlib import Path
from typing import Any

import yaml

from qstar_infer.errors import ConfigError


def read_settings_file(path: Path) -> dict[str, Any]:
    """The settings of a file by name, not yet checked.

    Raises:
        ConfigError: the file cannot be read, is no YAML, is no mapping, or has a name twice.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings file {path} cannot be read: {error}") from None
    # ValueError: an impossible date; RecursionError: nested too deep
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"the settings file {path} is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"the settings file {path} must hold `name: value` lines, not a {type(values).__name__}"
        )
    return {str(name): value for name, value in values.items()}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a name that is there twice, of which YAML would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ConfigError(f"the settings file sets {twice[0]!r} twice; leave one out")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping
