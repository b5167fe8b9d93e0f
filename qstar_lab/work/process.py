"""The processes of stages: each has one thread, a session of its own, and writes to a log.

torch takes seconds to import, so one process imports it for all: where the system has a fork
server, stages are its forks. This module does not import torch, and the lab's own process never
does.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Protocol

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""One thread: stages side by side use the cores better than the threads of one stage."""
USER_ERROR = 2
"""Exit code after an error whose message says everything."""
REGISTRY = "qstar_lab.work.registry"


class Process(Protocol):
    """What the lab needs of a process, as `multiprocessing` has it."""

    @property
    def exitcode(self) -> int | None:
        """None while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, so many seconds at most."""


def start_stage(work: str, settings: Path, log: Path, *, resumes: bool) -> Process:
    """Start the process of a stage.

    Args:
        work: `train`, or a name in `qstar_lab.work.registry`.
        settings: its file.
        log: where stdout and stderr go; appended to if the stage resumes.
        resumes: continue an interrupted training run.
    """
    with _environment():
        process = _context().Process(target=_run, args=(work, settings, log, resumes))
        process.start()
    return process


def _context() -> ForkServerContext | SpawnContext:
    # macOS has a fork server too, but its system libraries do not survive a fork.
    if not sys.platform.startswith("linux"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([REGISTRY])
    return context


@contextmanager
def _environment() -> Iterator[None]:
    """The variables of stages, which are read when libraries are imported."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(work: str, settings: Path, log: Path, resumes: bool) -> None:
    """What the process does."""
    if hasattr(os, "setsid"):  # Ctrl-C then reaches the lab alone, which ends its stages in order
        os.setsid()
    threading.Thread(target=_end_with_lab, daemon=True).start()
    os.environ.update(ENVIRONMENT)
    with log.open("a" if resumes else "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Only now: everything below imports torch.
    import torch
    from rich.console import Console

    from qstar_infer.cli.terminal import make_messages_printable, safe_text
    from qstar_infer.errors import QStarError
    from qstar_lab.work.registry import do_work

    make_messages_printable()
    torch.set_num_threads(1)
    console = Console(stderr=True)
    try:
        do_work(work, settings, resumes=resumes)
    except QStarError as error:
        console.print(safe_text(f"error: {error}"), soft_wrap=True)
        sys.exit(USER_ERROR)
    except OSError as error:
        traceback.print_exc()
        text = f"error: a file cannot be read or written: {error}. Correct that."
        console.print(safe_text(text), soft_wrap=True)
        sys.exit(USER_ERROR)


def _end_with_lab() -> None:
    """End this process when the lab's process ends without ending its stages, such as by SIGKILL.

    The next lab in the directory would start the same stage beside this one.
    """
    lab = multiprocessing.parent_process()
    assert lab is not None, "a stage runs in a process of its own"
    wait([lab.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
