"""Keeps what clients do from filling the log."""

import logging
import time

_MAX_MESSAGES = 1000


class SparseFilter(logging.Filter):
    """Lets each warning through once in a while, with the number of times it was left out.

    Errors always pass. Warnings are told apart by their text without arguments.
    """

    def __init__(self, interval_s: float = 60.0) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._said: dict[str, tuple[float, int]] = {}
        """When each text passed last, and how often it was left out since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log this record."""
        if record.levelno >= logging.ERROR:
            return True
        text, now = str(record.msg), time.monotonic()
        last, num_left_out = self._said.get(text, (-self._interval_s, 0))
        if now - last < self._interval_s:
            self._said[text] = (last, num_left_out + 1)
            return False
        if len(self._said) < _MAX_MESSAGES:
            self._said[text] = (now, 0)
        if num_left_out:
            record.msg = f"{text} (and {num_left_out} times more since the last such line)"
        return True
