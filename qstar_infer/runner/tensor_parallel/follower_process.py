"""Starts a follower, passes on its log, and notices its end."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from qstar_infer.runner.tensor_parallel.messages import (
    FOR_RANK_0,
    Join,
    LogLine,
    ToFollower,
    read_message,
    write_message,
)

COMMAND = (sys.executable, "-m", "qstar_infer.runner.tensor_parallel.follower")
_END_TIMEOUT_S = 5.0


class FollowerProcess:
    """The process of one rank other than 0.

    Attributes:
        pid: of the process.
    """

    def __init__(
        self,
        join: Join,
        *,
        on_joining: Callable[[], object],
        on_end: Callable[["FollowerProcess", int], object],
    ) -> None:
        """Start the process.

        Args:
            join: its first message.
            on_joining: called when it is about to join the process group.
            on_end: called with its exit status, or the negative number of the signal that ended it.
                Both are called from a thread of this object.
        """
        self.rank = join.rank
        self._on_joining = on_joining
        self._on_end = on_end
        self._has_started = threading.Event()
        # The system ends the process when the thread that has started it ends, so that thread stays
        # as long as the process.
        threading.Thread(target=self._run, name=f"rank-{self.rank}", daemon=True).start()
        self._has_started.wait()
        self.pid = self._process.pid
        self.send(join)

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

    def _run(self) -> None:
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"LOCAL_RANK": str(self.rank)},  # which GPU transformers chooses
        )
        self._has_started.set()
        assert self._process.stdout is not None
        while (encoded := read_message(self._process.stdout)) is not None:
            message = FOR_RANK_0.decode(encoded)
            if isinstance(message, LogLine):
                logger = logging.getLogger(message.logger)
                logger.log(message.level, "rank %d: %s", self.rank, message.text)
            else:
                self._on_joining()
        self._process.stdout.close()
        self._on_end(self, self._process.wait())


def how_it_ended(status: int) -> str:
    """An exit status of `subprocess`, in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    return f"was ended by {signal.Signals(-status).name}"
