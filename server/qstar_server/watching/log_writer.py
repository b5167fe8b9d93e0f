"""Writes the lines of the log from a thread of its own.

A log that cannot be written (a full disk, a closed or stalled pipe) costs lines, and never the
service.
"""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable

MAX_PENDING_LINES = 10_000
"""Lines that may wait for a slow log; later ones are dropped, and counted."""
_FLUSH_S = 1.0


class LogWriter(logging.Handler):
    """A handler whose callers never wait."""

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        """
        Args:
            write: takes a line with its end; may block, or raise an OSError. None: stderr.
        """
        super().__init__()
        self._write = _stderr_writer() if write is None else write
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._num_dropped = 0
        self._is_writing = False
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line."""
        try:
            line = self.format(record)
        except Exception as error:  # an argument's repr may raise anything
            line = f"a log record of {record.name} could not be formatted: {type(error).__name__}"
        with self._changed:
            if len(self._lines) >= MAX_PENDING_LINES:
                self._num_dropped += 1
                return
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until the lines are written, for up to a second."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._is_writing, _FLUSH_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                self._is_writing = True
                line = self._lines.popleft()
                num_dropped, self._num_dropped = self._num_dropped, 0
            self._write_line(line)
            if num_dropped:
                self._write_line(f"{num_dropped} lines were dropped: this log was not writable")

    def _write_line(self, line: str) -> None:
        try:
            self._write(line.encode("utf-8", "backslashreplace") + b"\n")
        except (OSError, ValueError):
            with self._changed:
                self._num_dropped += 1


def _stderr_writer() -> Callable[[bytes], object]:
    """Writes to the file of stderr without Python's buffer.

    What a full disk leaves in that buffer would make Python exit with an error of its own.
    """
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return _write_to_python_stderr  # closed before the start, or replaced by Python code

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    return write


def _write_to_python_stderr(data: bytes) -> None:
    if sys.stderr is not None:
        sys.stderr.write(data.decode())
        sys.stderr.flush()
