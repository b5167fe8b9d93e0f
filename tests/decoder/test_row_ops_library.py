"""The library of the row operations is kept between runs, and never loaded if it is damaged."""

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstar_infer.decoder.row_ops_library import load_row_ops_library

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(autouse=True)
def forget_library() -> Iterator[None]:
    load_row_ops_library.cache_clear()
    yield
    load_row_ops_library.cache_clear()


def load() -> ctypes.CDLL | None:
    """As in a new process."""
    load_row_ops_library.cache_clear()
    return load_row_ops_library()


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    assert load() is not None
    (kept,) = files(tmp_path / "cache")
    built_at = kept.stat().st_mtime_ns
    monkeypatch.setenv("PATH", "")  # no compiler any more
    assert load() is not None
    assert kept.stat().st_mtime_ns == built_at


def test_the_cache_may_be_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QSTAR_CACHE", ".")
    assert load() is not None


@pytest.mark.parametrize("num_bytes", [0, 100, 9000])
def test_a_damaged_one_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int
) -> None:
    # To load one that is cut off at 9,000 bytes would end the process by SIGBUS.
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path))
    assert load() is not None
    (kept,) = files(tmp_path)
    content = kept.read_bytes()
    kept.unlink()  # or the library that is loaded already would change
    kept.write_bytes(content[:num_bytes])
    assert load() is not None
    assert content in [path.read_bytes() for path in files(tmp_path)]


def test_without_a_place_or_a_compiler_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_CACHE", "~nobody-of-this-name/cache")
    assert load() is None
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert load() is None
