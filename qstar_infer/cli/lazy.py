"""Commands that are imported only when they run.

`qstar --help` lists every command, those of installed extensions included, without importing torch.
A command's help line is the first line of its docstring, read from the source text.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from qstar_infer.errors import ConfigError

ENTRY_POINT_GROUP = "qstar.commands"


class LazyCommand(TyperCommand):
    """Placeholder of a command in a list; loads the real command to parse its arguments.

    Args:
        name: what the user types.
        target: `package.module:attribute`, a function with typer annotations or a `typer.Typer`.
    """

    def __init__(self, name: str, target: str) -> None:
        super().__init__(name, help=summary_of(target), rich_markup_mode=None)
        self._target = target

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Import the command, then parse with its own parameters."""
        return load_command(self.name or "", self._target).make_context(*args, **kwargs)


def extension_targets() -> Iterator[tuple[str, str]]:
    """Name and target of each command of an installed distribution, sorted by name."""
    entries = {entry.name: entry.value for entry in metadata.entry_points(group=ENTRY_POINT_GROUP)}
    yield from sorted(entries.items())


def lazy_commands(targets: Mapping[str, str]) -> Iterator[LazyCommand]:
    """A placeholder for each of our own commands, then for those of extensions.

    An extension cannot replace one of ours.
    """
    for name, target in targets.items():
        yield LazyCommand(name, target)
    for name, target in extension_targets():
        if name not in targets:
            yield LazyCommand(name, target)


def load_command(name: str, target: str) -> Any:
    """Import a target and make it a command.

    Raises:
        ConfigError: the module cannot be imported, or has no such attribute.
    """
    module_name, _, attribute = target.partition(":")
    try:
        command = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the command '{name}' ({target}) cannot be loaded: {error}; {_remedy(error)}"
        ) from error
    if not isinstance(command, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(command)
        command = app
    return get_command(command)


def _remedy(error: ImportError | AttributeError) -> str:
    """What to install: our extra that has the missing package, if there is one."""
    package = error.name if isinstance(error, ModuleNotFoundError) else None
    for requirement in metadata.requires("qstar") or []:
        match = re.match(r"([\w.-]+).*; extra == .(\w+)", requirement)
        if match is not None and match[1] == package:
            return f'pip install "qstar[{match[2]}]"'
    return "reinstall the distribution that provides it"


def summary_of(target: str) -> str:
    """First docstring line of a target's function, else of its module; "" if unknown."""
    module_name, _, attribute = target.partition(":")
    try:
        spec = util.find_spec(module_name)
    except ImportError:
        return ""
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    function = functions.get(attribute)
    docstring = ast.get_docstring(function) if function else ast.get_docstring(tree)
    return (docstring or "").partition("\n")[0]
