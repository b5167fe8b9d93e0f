"""Starts a follower, passes on its log, and notices its end."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import IO

from qstar_infer.runner.tensor_parallel.messages import (
    FOR_RANK_0,
    LogLine,
    ToFollower,
    read_message,
    write_message,
)

COMMAND = (sys.executable, "-m", "qstar_infer.runner.tensor_parallel.follower")
_END_TIMEOUT_S = 5.0


class FollowerProcess:
    """The process of one rank other than 0."""

    def __init__(
        self,
        rank: int,
        *,
        on_joining: Callable[[], object],
        on_end: Callable[[str], object],
    ) -> None:
        """Start the process.

        Args:
            rank: its number.
            on_joining: called when it is about to join the process group.
            on_end: called with a text that says how it has ended. Both are called from a thread of
                this object.

        Raises:
            OSError: the system has no room for a process.
        """
        self.rank = rank
        self._on_joining = on_joining
        self._on_end = on_end
        started: Future[subprocess.Popen[bytes]] = Future()
        # The system ends the process when the thread that has started it ends, so that thread stays
        # as long as the process.
        threading.Thread(target=self._run, args=[started], name=f"rank-{rank}", daemon=True).start()
        self._process = started.result()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, message: ToFollower) -> None:
        """
        Raises:
            OSError: the process has ended.
        """
        assert self._process.stdin is not None
        write_message(self._process.stdin, message)

    def close(self) -> None:
        """Tell the process to end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended already
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def join(self) -> None:
        """Wait for the end of the process; after some seconds, end it."""
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def _run(self, started: "Future[subprocess.Popen[bytes]]") -> None:
        try:
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"LOCAL_RANK": str(self.rank)},  # which GPU transformers chooses
            )
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(process)
        assert process.stdout is not None
        name = f"rank {self.rank} (process {process.pid})"
        try:
            self._read(process.stdout)
        except Exception as error:  # whatever it is, rank 0 must not wait for this rank
            process.kill()
            process.wait()
            self._on_end(
                f"{name} wrote to standard output what is no message "
                f"({type(error).__name__}: {error})"
            )
        else:
            self._on_end(f"{name} {_in_words(process.wait())}")
        process.stdout.close()

    def _read(self, stdout: IO[bytes]) -> None:
        """Take messages until the process closes its standard output."""
        while (encoded := read_message(stdout)) is not None:
            message = FOR_RANK_0.decode(encoded)
            if isinstance(message, LogLine):
                logger = logging.getLogger(message.logger)
                logger.log(message.level, "rank %d: %s", self.rank, message.text)
            else:
                self._on_joining()


def _in_words(status: int) -> str:
    """How a process has ended, from its exit status."""
    if status >= 0:
        return f"ended with exit status {status}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-status, f'signal {-status}')}"  # most real-time ones: no name
