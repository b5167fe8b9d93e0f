"""The directory of a run: that it is one, and that one process at a time writes into it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from qstar_infer.errors import ConfigError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

SETTINGS = "settings.json"
"""What its records were measured with; see `guard`."""
_LOCK = "lock"
_FIRST = {_LOCK, "settings.tmp"}
"""What a process that was killed at once may leave."""


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Let no second evaluation into a directory, which is made where there is none.

    The system ends the claim with the process, however it ends. Where it has no such locks, nothing
    is claimed.

    Raises:
        ConfigError: another evaluation is running there, it holds other things, or it cannot be
            written.
    """
    require_ours(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / _LOCK).open("a")
    except OSError as error:
        raise ConfigError(f"--out {directory} cannot be written: {error}.") from error
    with file:
        _lock(file, directory)
        yield


def require_ours(directory: Path) -> None:
    """
    Raises:
        ConfigError: there is something here, and it is no evaluation.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--out {directory} is a file. Give a directory.")
    if not directory.is_dir() or (directory / SETTINGS).exists():
        return
    if any(path.name not in _FIRST for path in directory.iterdir()):
        raise ConfigError(
            f"--out {directory} holds other things than an evaluation. Give an empty directory."
        )


def _lock(file: IO[str], directory: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"--out {directory}: another evaluation is running in it. Wait for its end, or give "
            "another directory."
        ) from error
    except OSError as error:  # some network file systems
        logger.warning(
            "%s cannot be locked (%s): run no second evaluation there.", directory, error
        )
