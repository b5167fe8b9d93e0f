"""The commands of a shell block, one by one, and whether they exist with these options."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from qstar_infer.cli.lazy import extension_targets, load_command
from qstar_infer.cli.main import COMMANDS
from tests.docs.blocks import ROOT

OTHERS_PROGRAMS = {
    *(
        "cp",
        "docker",
        "export",
        "git",
        "helm",
        "kubectl",
        "npm",
        "npx",
        "openssl",
        "pipx",
        "ray",
        "sort",
        "tail",
    ),
    *("serve", "uv", "uvx", "env/bin/qstar", "env/bin/pip", "$plan", "node"),
}
"""Programs whose options are not ours to check."""
SHORT_COMMANDS = {"generate", "inspect", "init", "convert", "lab questions", "show"}
"""Commands of ours that end soon, offline, with a tiny model."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]+=")
_SUBSTITUTION = re.compile(r"\$\([^()]*\)")
_EXTRAS = re.compile(r"qstar\S*\[([\w,-]+)\]")


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each command, without comments, assignments and what pipes and `&&` join."""
    waiting = ""
    for line in text.splitlines():
        waiting += _SUBSTITUTION.sub("VALUE", line)
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        try:
            words = shlex.split(waiting, comments=True)
        except ValueError:  # a quotation goes on in the next line
            waiting += "\n"
            continue
        waiting = ""
        yield from _parts(words)
    assert not waiting, f"this command does not end: {waiting}"


def check_command(words: list[str]) -> None:
    """Fails unless the program is known and, if it is ours, takes these options.

    Does not run it.
    """
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    if program == "qstar":
        _check_qstar(rest)
    elif program == "make":
        targets = [word for word in rest if "=" not in word and not word.startswith("-")]
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(f"^{target}:", makefile, re.MULTILINE) for target in targets), rest
    elif program in ("python", "python3"):
        _check_python(rest)
    elif program == "pip":
        _check_extras(" ".join(rest))
    elif program not in ("curl", "pre-commit", "pytest"):
        assert program in OTHERS_PROGRAMS, f"{program}: no program that this test knows"


def check_ends_soon(words: list[str]) -> None:
    """Fails if a command may install, train, or wait for somebody: its block is not to be run."""
    program = words[0].removeprefix(".venv/bin/")
    ours = {" ".join(words[1:2]), " ".join(words[1:3])}
    is_short = program == "curl" or (program == "qstar" and ours & SHORT_COMMANDS)
    assert is_short, f"say <!-- not run: REASON --> above the block with {' '.join(words)}"


def bodies_in(text: str) -> Iterator[tuple[str, Any]]:
    """Path and JSON of each request that curl sends to the server of this machine."""
    for words in commands_in(text):
        if words[0] == "curl" and "-d" in words:
            (url,) = (word for word in words if word.startswith("http://127.0.0.1:8000/"))
            path = url.removeprefix("http://127.0.0.1:8000")
            yield path, json.loads(words[words.index("-d") + 1])


def _parts(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if word not in (";", "&&", "|", "&"):
            if command or not _ASSIGNMENT.match(word):
                command.append(word)
        elif command:
            yield command
            command = []


def _check_qstar(words: list[str]) -> None:
    targets = {**COMMANDS, **dict(extension_targets())}
    if words in (["--help"], ["--version"]):
        return
    name, *rest = words
    assert name in targets, f"qstar {name}: there is no such command"
    if "--help" in rest:
        return
    command = load_command(name, targets[name])
    while True:
        context = command.make_context(name, list(rest))
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not (rest and hasattr(command, "resolve_command")):
            return
        name, command, rest = command.resolve_command(context, rest)


def _check_python(words: list[str]) -> None:
    match words:
        case ["-m", "venv", *_]:
            pass
        case ["-m", module, *_]:
            assert find_spec(module), f"python -m {module}: there is no such module"
        case [file, *_]:
            assert (ROOT / file).is_file(), f"python {file}: there is no such file"


def _check_extras(text: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for found in _EXTRAS.finditer(text):
        assert found[1] in project["optional-dependencies"], f"no extra {found[1]}"
