"""Counts the calls of a measurement, for a progress bar."""

from collections.abc import Callable

OnCall = Callable[[int, int], None]
"""Called after each call with the number of calls done and of all calls."""


def ignore_progress(num_done: int, num_calls: int) -> None:
    """An `OnCall` that shows nothing."""
    del num_done, num_calls


class Counter:
    """Reports each call."""

    def __init__(self, on_call: OnCall, num_calls: int) -> None:
        self._on_call = on_call
        self._num_calls = num_calls
        self._num_done = 0

    def __call__(self) -> None:
        self._num_done += 1
        self._on_call(self._num_done, self._num_calls)
