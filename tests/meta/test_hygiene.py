"""Files stay short and free of one machine's paths; the public surface is what it says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import qstar_infer

ROOT = Path(__file__).parents[2]
SOURCE_DIRS = (
    *("qstar_infer", "qstar_train", "qstar_eval", "qstar_lab", "server"),
    *("clients", "benchmarks", "scripts", "examples", "tests"),
)
TEXT_SUFFIXES = {".py", ".md", ".toml", ".json", ".txt", ".yml", ".yaml", ".html"}
MAX_LINES = 400
MAX_TEST_LINES = 600
MAX_FUNCTION_LINES = 60
# Written in parts, so that this file does not find itself.
MACHINE_PATH = re.compile("(?<![a-z0-9.])/" + r"(?:work|root|Users|home/\w+)/")


def text_files() -> Iterator[Path]:
    for name in (*SOURCE_DIRS, "docs", "kubernetes"):
        found = (path for path in (ROOT / name).rglob("*") if path.suffix in TEXT_SUFFIXES)
        yield from (path for path in found if "node_modules" not in path.parts)
    yield from ROOT.glob("*.md")
    names = ("pyproject.toml", "Makefile", "constraints.txt", ".pre-commit-config.yaml", ".ci/run")
    yield from (ROOT / name for name in names)


def python_files() -> list[Path]:
    found = (path for name in SOURCE_DIRS for path in sorted((ROOT / name).rglob("*.py")))
    return [path for path in found if "node_modules" not in path.parts]


def test_files_are_short() -> None:
    too_long = {}
    for path in python_files():
        num_lines = len(path.read_text(encoding="utf-8").splitlines())
        is_test = "tests" in path.relative_to(ROOT).parts
        if num_lines > (MAX_TEST_LINES if is_test else MAX_LINES):
            too_long[str(path.relative_to(ROOT))] = num_lines
    assert not too_long


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function, docstring included and decorators not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_functions_fit_a_screen() -> None:
    too_long = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in python_files()
        for name, num_lines in functions_of(path)
        if num_lines > MAX_FUNCTION_LINES
    }
    assert not too_long, f"longer than {MAX_FUNCTION_LINES} lines"


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if (text := path.read_text(encoding="utf-8").strip())
        and not text.removeprefix("#!/usr/bin/env python3\n").startswith(('"""', 'r"""'))
    ]
    assert not silent


def test_no_paths_of_one_machine() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in text_files()
        if MACHINE_PATH.search(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_public_names_are_sorted_and_importable() -> None:
    names = qstar_infer.__all__
    assert names == sorted(names)
    for name in names:
        assert getattr(qstar_infer, name) is not None


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        qstar_infer.no_such_name  # noqa: B018
