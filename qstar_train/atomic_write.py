"""Write files and directories completely or not at all; name what cannot be written."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from qstar_infer.errors import CheckpointError


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an error of writing `path`, such as a full disk, into one that names it.

    Raises:
        CheckpointError: the body could not write.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be written: {error}. Free space there or correct the permissions, then "
            "continue from the last state with --resume."
        ) from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path, next to the target, where the body writes a new file or directory.

    It replaces the target after the body. If the body raises, the target stays as it was and the
    unfinished file or directory is deleted.

    Raises:
        CheckpointError: the new file or directory cannot be written.
    """
    new = target.with_name(f".{target.name}")
    _delete(new)
    try:
        with write_errors(target):
            yield new
            if new.is_dir():  # which cannot replace a directory that is not empty
                _delete(target)
            new.replace(target)
    finally:
        _delete(new)


def replace_text(path: Path, text: str) -> None:
    """Write a text file; after a crash it holds the old text or the new one.

    Raises:
        CheckpointError: it cannot be written.
    """
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
