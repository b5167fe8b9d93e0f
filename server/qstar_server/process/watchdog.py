"""Ends a server whose engine hangs or is dead, so that a supervisor starts another."""

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

from qstar_infer.errors import EngineDeadError
from qstar_server.process.engine_slot import EngineSlot

logger = logging.getLogger(__name__)

_MAX_PERIOD_S = 1.0


class Watchdog:
    """Watches an engine from a thread of its own, inside a `with` block.

    A step that takes too long is abandoned: open requests end with an error, and the server, which
    sees a dead engine, stops by itself. If it does not, the process is ended.
    """

    def __init__(
        self,
        slot: EngineSlot,
        *,
        timeout_s: float,
        exit_grace_s: float,
        end_process: Callable[[int], object] = os._exit,
    ) -> None:
        """
        Args:
            timeout_s: most seconds of a step; 0: as long as it likes.
            exit_grace_s: for the server to stop by itself, once its engine is dead.
            end_process: called with the exit status.
        """
        self._slot = slot
        self._timeout_s = timeout_s
        self._exit_grace_s = exit_grace_s
        self._end_process = end_process
        self._period_s = min(_MAX_PERIOD_S, timeout_s / 10) if timeout_s else _MAX_PERIOD_S
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        last_s, last_age_s, stuck_s = time.monotonic(), None, 0.0
        while not self._is_over.wait(self._period_s):
            if self._slot.has_died:
                self._exit_soon()
                return
            now_s, age_s = time.monotonic(), self._slot.step_age_s
            is_same_step = age_s is not None and last_age_s is not None and age_s > last_age_s
            # If this thread was stopped as well, the whole machine was: that time does not count.
            passed_s = min(now_s - last_s, 2 * self._period_s)
            stuck_s = stuck_s + passed_s if is_same_step else 0.0
            if self._timeout_s and stuck_s > self._timeout_s:
                self._slot.give_up(
                    EngineDeadError(f"one step has taken more than {self._timeout_s:g} seconds")
                )
            last_s, last_age_s = now_s, age_s

    def _exit_soon(self) -> None:
        if not self._is_over.wait(self._exit_grace_s):
            logger.critical("the engine is dead and the server does not stop; ending the process")
            logging.shutdown()
            self._end_process(1)
