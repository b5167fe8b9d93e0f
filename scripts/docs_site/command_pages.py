"""The reference of the command line: a page made from the commands' own options."""

import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

from qstar_infer.cli.lazy import extension_targets, load_command
from qstar_infer.cli.main import COMMANDS

PAGE = "reference/command-line.md"


def pages() -> dict[str, str]:
    """The page by its path in the site."""
    # At its import it advises a package that would fetch kernels from a hub.
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)  # mkdocs shows torch's about itself
    targets = {**COMMANDS, **dict(extension_targets())}
    parts = [
        "# Command line\n",
        "Made from the commands themselves: `qstar COMMAND --help` prints the same.\n",
    ]
    for name, target in targets.items():
        parts += _command(f"qstar {name}", load_command(name, target))
    return {PAGE: "\n".join(parts)}


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"## `{name}`\n"
    yield f"{_text(command.help or '')}\n"
    yield f"    {name} {' '.join(command.collect_usage_pieces(context))}\n"
    rows = [_row(parameter, context) for parameter in command.get_params(context)]
    if shown := [row for row in rows if row]:
        yield "\n".join(["| option | meaning |", "|---|---|", *shown, ""])
    for below in getattr(command, "commands", {}).values():
        yield from _command(f"{name} {below.name}", below)


def _row(parameter: Any, context: Any) -> str:
    """The row of an option or an argument; "" if it is hidden, or `--help`, which all have."""
    record = parameter.get_help_record(context)
    if parameter.name == "help" or getattr(parameter, "hidden", False) or record is None:
        return ""
    flags, meaning = (_cell(text) for text in record)
    return f"| `{flags}` | {meaning} |"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def _text(text: str) -> str:
    """The paragraphs of a docstring, without what click marks as not to be wrapped."""
    return text.replace("\b", "").replace("\f", "").strip()
