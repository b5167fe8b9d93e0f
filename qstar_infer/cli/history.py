"""Past lines of chats, kept in a file that only its user can read."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from qstar_infer.cache_directory import cache_directory
from qstar_infer.errors import ConfigError

MAX_BYTES = 256 * 2**10
"""A longer file loses its older half when a chat starts."""
_ENTRY = b"\n# "
"""Begins each entry of a `FileHistory`."""


class _KeptLines(FileHistory):
    def store_string(self, string: str) -> None:
        """Keep a line if that is possible; a full disk does not end the chat."""
        with suppress(OSError):
            super().store_string(string)


def open_history(*, is_kept: bool) -> tuple[History, str]:
    """The history of chats, and why it is not kept; "" if it is, or if that is not wanted."""
    if not is_kept:
        return InMemoryHistory(), ""
    try:
        path = cache_directory() / "chat-history"
        path.parent.mkdir(parents=True, exist_ok=True)
        _prepare(path)
    except (ConfigError, OSError) as error:
        return InMemoryHistory(), f"lines are not kept for the next chat: {error}"
    return _KeptLines(path), ""


def _prepare(path: Path) -> None:
    """Create the file, let nobody else read it, and shorten it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+b") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no file")  # a pipe or a device may have no end
        path.chmod(0o600)
        content = file.read()
        if len(content) > MAX_BYTES:
            file.seek(0)
            file.write(_newer_half(content))
            file.truncate()


def _newer_half(content: bytes) -> bytes:
    begin = content.find(_ENTRY, len(content) - MAX_BYTES // 2)
    return content[begin:] if begin >= 0 else b""
