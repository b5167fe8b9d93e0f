"""What a recipe is, and how one is carried out: fetch, extract, check the count, write."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_infer.errors import QStarError

Row = dict[str, Any]
Fetch = Callable[[Path], Path]
"""Given the cache directory, the path of what a recipe reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Something a registry has, pinned to a version."""

    name: str
    """As the registry shows it, with the version."""
    size_mb: float
    """Of the download."""
    fetch: Fetch
    """Downloads it unless the cache has it.

    Raises:
        QStarError: it is not to be had.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One jsonl file: where it comes from and what is in it."""

    name: str
    """What a user types; the file is `<name>.jsonl`."""
    summary: str
    licence: str
    package: Package
    size_mb: float
    """Of the jsonl file."""
    extract: Callable[[Path], Iterator[Row]]
    """From what `package.fetch` gave, the rows, always in the same order."""
    num_rows: int | None = None
    """Rows there must be; None where the package's version moves."""
    is_for_evaluation: bool = False
    """Never to be trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file that was written."""

    path: Path
    num_rows: int
    size_bytes: int


def run_recipe(recipe: Recipe, directory: Path, *, cache: Path) -> Prepared:
    """Write `<directory>/<name>.jsonl`; an older one is replaced once the new one is whole.

    Args:
        recipe: what to write.
        directory: made where it is missing.
        cache: keeps what was downloaded.

    Raises:
        QStarError: the package is not to be had or does not hold what it should, or a directory
            cannot be written.
    """
    target = directory / f"{recipe.name}.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        cache.mkdir(parents=True, exist_ok=True)
        found = recipe.package.fetch(cache)
        return _write(recipe, found, target)
    except OSError as error:
        raise QStarError(f"{recipe.name}: {target} cannot be written: {error}") from error


def _write(recipe: Recipe, found: Path, target: Path) -> Prepared:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    num_rows = 0
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            for row in recipe.extract(found):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                num_rows += 1
        _require_count(recipe, num_rows)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Prepared(path=target, num_rows=num_rows, size_bytes=target.stat().st_size)


def _require_count(recipe: Recipe, num_rows: int) -> None:
    wanted = recipe.num_rows
    if num_rows == 0 or (wanted is not None and num_rows != wanted):
        raise QStarError(
            f"{recipe.name}: {recipe.package.name} gave {num_rows:,} rows, not "
            f"{'any number of' if wanted is None else f'{wanted:,}'}; it is not the package this "
            "recipe was written for, or it is damaged. Delete it from the cache and try again."
        )
