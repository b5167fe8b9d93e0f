"""Writing a run's files: whole or not at all, and an error that names what could not be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from qstar_infer.errors import CheckpointError


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn what keeps `path` from being written, such as a full disk, into an error that names it.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be written: {error}. Make room there, or see who may write there, and "
            "go on from the last state with --resume."
        ) from error


def replace_text(path: Path, text: str) -> None:
    """Write a file beside its place, then put it there: a crash leaves the old one or the new one.

    Raises:
        CheckpointError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}")
    with written(path):
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
