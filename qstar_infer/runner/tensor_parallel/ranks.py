"""All ranks of a model, as rank 0 sees them: it starts the others and ends with any of them."""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist

from qstar_infer.checkpoint.load import load_from_args
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError, EngineDeadError, QStarError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner.tensor_parallel.follower_process import FollowerProcess
from qstar_infer.runner.tensor_parallel.messages import DeviceType, Join, Load, ToFollower
from qstar_infer.runner.tensor_parallel.process_group import join_process_group

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_NOTICE_S = 2.0
"""For one rank to notice an error of another, or its own."""
_POLL_S = 0.1
_left_behind: list[threading.Thread] = []
"""Threads that still wait for ranks that have ended. Another group would wait for them."""


class Ranks:
    """A process for each rank: this one is rank 0, and the others are its followers.

    All ranks compute every pass together. So if one of them ends, none can go on.
    """

    def __init__(self, size: int, *, device_type: DeviceType, num_threads: int) -> None:
        """Start the followers and connect all ranks.

        Args:
            size: number of ranks, at least 2.
            device_type: where they compute; rank `r` takes GPU `r`.
            num_threads: of a step on a CPU, of each follower.

        Raises:
            ConfigError: this process is in a process group already.
            EngineDeadError: a follower ended.
        """
        if dist.is_initialized() or any(thread.is_alive() for thread in _left_behind):
            raise ConfigError(
                "this process is in a torch.distributed process group already. Close the other "
                "LLM with tensor_parallel_size first, or use another process"
            )
        self.size = size
        self._state = threading.Condition()
        self._num_joining = 0
        self._failure: EngineDeadError | None = None
        self._listener: Callable[[EngineDeadError], object] | None = None
        self._is_closed = False
        self._directory = Path(tempfile.mkdtemp(prefix="qstar-ranks-"))
        store = self._directory / "store"
        self._followers: list[FollowerProcess] = []
        try:
            for rank in range(1, size):
                follower = FollowerProcess(
                    rank, on_joining=self._note_joining, on_end=self._note_end
                )
                self._followers.append(follower)
            for follower in self._followers:
                self._send(
                    follower,
                    Join(
                        rank=follower.rank,
                        size=size,
                        store=str(store),
                        device_type=device_type,
                        num_threads=num_threads,
                        log_level=logging.getLogger().getEffectiveLevel(),
                    ),
                )
            self._wait_until_joining()
            self._unless_a_rank_ends(
                lambda: join_process_group(0, size=size, store=store, device_type=device_type)
            )
        except BaseException:
            self.close()
            raise

    def load(self, args: EngineArgs) -> QuietStarModel:
        """Load a shard of a model on every rank.

        Returns:
            The shard of rank 0, as a model whose passes all ranks compute.

        Raises:
            CheckpointError, ConfigError: as `load_from_args`.
            EngineDeadError: a follower ended.
        """
        self.send(Load(settings=args.settings()))
        return self._unless_a_rank_ends(lambda: load_from_args(args))

    def send(self, message: ToFollower) -> None:
        """Send a message to all followers.

        Raises:
            EngineDeadError: a follower has ended.
        """
        for follower in self._followers:
            self._send(follower, message)

    def failure_after(self, error: Exception) -> EngineDeadError:
        """Why the ranks cannot go on after an error in a pass of rank 0."""
        with self._state:
            self._state.wait_for(lambda: self._failure is not None, _NOTICE_S)
            if self._failure is None:
                self._failure = EngineDeadError(
                    f"a pass failed on rank 0 ({type(error).__name__}: {error}), and the other "
                    "ranks wait in it"
                )
            return self._failure

    def on_failure(self, listener: Callable[[EngineDeadError], object]) -> None:
        """Call this, from another thread, when a rank ends; at once if one has."""
        with self._state:
            self._listener = listener
            failure = self._failure
        if failure is not None:
            listener(failure)

    def close(self) -> None:
        """End the followers and leave the process group. Does nothing the second time."""
        with self._state:
            if self._is_closed:
                return
            self._is_closed = True
            has_failed = self._failure is not None
        for follower in self._followers:
            follower.close()
            if has_failed:
                follower.kill()  # it may wait for a rank that has ended
        for follower in self._followers:
            follower.join()
        if dist.is_initialized():
            dist.destroy_process_group()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _send(self, follower: FollowerProcess, message: ToFollower) -> None:
        try:
            follower.send(message)
        except OSError as error:
            raise self.failure_after(error) from error

    def _wait_until_joining(self) -> None:
        with self._state:
            self._state.wait_for(
                lambda: self._num_joining == len(self._followers) or self._failure is not None
            )
            if self._failure is not None:
                raise self._failure

    def _unless_a_rank_ends(self, work: Callable[[], _T]) -> _T:
        """Do work that waits for the other ranks, on a thread that can be left alone.

        Raises:
            EngineDeadError: a follower ended.
            QStarError: the work's own error.
        """
        results: list[_T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(work())
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run, name="rank-0", daemon=True)
        thread.start()
        while thread.is_alive() and self._failure is None:
            thread.join(_POLL_S)
        thread.join(_NOTICE_S)  # the same mistake may end all ranks: then it is told as it is
        if results:
            return results[0]
        if errors and isinstance(errors[0], QStarError) and not _is_of_group(errors[0]):
            raise errors[0]
        if thread.is_alive():
            _left_behind.append(thread)
        error = errors[0] if errors else TimeoutError("it waits for another rank")
        raise self.failure_after(error) from error

    def _note_joining(self) -> None:
        with self._state:
            self._num_joining += 1
            self._state.notify_all()

    def _note_end(self, how: str) -> None:
        """Take note that a follower has ended, as it should or not."""
        with self._state:
            if self._is_closed or self._failure is not None:
                return
            failure = EngineDeadError(f"{how}; the other ranks stop without it")
            _log.critical("%s", failure)  # before anyone can act on it and end the process
            self._failure = failure
            listener = self._listener
            self._state.notify_all()
        if listener is not None:
            listener(failure)


def _is_of_group(error: BaseException | None) -> bool:
    """Whether an error comes from an operation of the process group, because a rank has ended."""
    while error is not None:
        # gloo has no class of its own for a lost connection.
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            return True
        error = error.__cause__
    return False
