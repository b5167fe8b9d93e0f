"""A rank other than 0, as a process: `python -m qstar_infer.runner.tensor_parallel.follower`.

It computes with its shard what rank 0 computes with its own, and samples nothing. Rank 0 starts it;
it ends when rank 0 closes its standard input or ends.
"""

import ctypes
import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from qstar_infer.checkpoint.load import load_from_args
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import QStarError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner.forward_pass import ForwardPass
from qstar_infer.runner.pick_slices import pick_slices
from qstar_infer.runner.tensor_parallel.log_relay import private_stdout, send_log_to
from qstar_infer.runner.tensor_parallel.messages import (
    FOR_FOLLOWER,
    BuildPool,
    Join,
    Joining,
    Load,
    ReleaseMemory,
    Run,
    ToFollower,
    read_message,
    write_message,
)
from qstar_infer.runner.tensor_parallel.process_group import join_process_group
from qstar_infer.step import StepBatch

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


class Follower:
    """What a follower holds: its shard of a model, and its part of the key/value pool."""

    def __init__(self) -> None:
        self._model: QuietStarModel | None = None
        self._pass: ForwardPass | None = None

    def do(self, message: ToFollower) -> None:
        """Do what rank 0 asks for."""
        if isinstance(message, Run):
            self._run(message.batch)
        elif isinstance(message, Load):
            self._model = self._pass = None
            self._model = load_from_args(EngineArgs.of(**message.settings))
        elif isinstance(message, BuildPool):
            assert self._model is not None, "rank 0 asked for a pool before a model"
            self._pass = ForwardPass(
                self._model, num_blocks=message.num_blocks, block_size=message.block_size
            )
        elif isinstance(message, ReleaseMemory):
            self._forward.release_unused_memory()

    @property
    def _forward(self) -> ForwardPass:
        assert self._pass is not None, "rank 0 asked for a pass before a pool"
        return self._pass

    @torch.inference_mode()
    def _run(self, batch: StepBatch) -> None:
        """The pass of a step, and its logits in the same slices as on rank 0."""
        assert self._model is not None
        hidden = self._forward.run(batch).hidden
        for picks in pick_slices(batch, vocab_size=self._model.vocab_size):
            self._forward.logits(hidden[picks.span])


def main() -> None:
    """Follow rank 0 until it closes standard input."""
    _end_with_rank_0()
    inbox, outbox = sys.stdin.buffer, private_stdout()
    first = read_message(inbox)
    if first is None:
        return
    join = FOR_FOLLOWER.decode(first)
    assert isinstance(join, Join)
    send_log_to(outbox, level=join.log_level)
    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    torch.set_num_threads(join.num_threads)
    try:
        write_message(outbox, Joining())
        join_process_group(
            join.rank, size=join.size, store=Path(join.store), device_type=join.device_type
        )
        follower = Follower()
        while (message := read_message(inbox)) is not None:
            follower.do(FOR_FOLLOWER.decode(message))
    except Exception as error:
        # One line for a mistake of the user, which rank 0 reports as well.
        _log.error("%s", error if isinstance(error, QStarError) else traceback.format_exc())
        os._exit(1)
    os._exit(0)  # threads of the process group may still wait for others


def _end_with_rank_0() -> None:
    """Let the system kill this process when the thread of rank 0 that started it ends.

    The process may then be inside an operation of the group, or stopped. Signals that are meant for
    the server, such as Ctrl-C in a terminal, reach every process of its group: rank 0 handles them.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
