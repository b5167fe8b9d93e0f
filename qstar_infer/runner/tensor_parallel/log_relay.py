"""The log of a follower goes to rank 0, which writes it to its own."""

import contextlib
import logging
import os
import sys
from typing import IO

from qstar_infer.runner.tensor_parallel.messages import LogLine, write_message


def private_stdout() -> IO[bytes]:
    """Standard output for messages alone: from now on what anyone prints goes to standard error."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def send_log_to(stream: IO[bytes], *, level: int) -> None:
    """Send the records of this process's log, and its warnings, as messages to rank 0.

    Args:
        level: the least severe.
    """
    logging.captureWarnings(True)
    logging.basicConfig(level=level, handlers=[_ToRank0(stream)])


class _ToRank0(logging.Handler):
    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))  # rank 0 adds the rest
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, with its traceback."""
        line = LogLine(level=record.levelno, logger=record.name, text=self.format(record))
        with contextlib.suppress(OSError):  # rank 0 has ended, and this process is about to
            write_message(self._stream, line)
