"""The processes of a run: their allocator, and a barrier at which a failure of one ends all."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from qstar_infer.errors import QStarError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of mallopt, from glibc's malloc.h."""
_TOP_PAD_BYTES = 2**28


class TrainingError(QStarError):
    """A run cannot continue: a loss is not finite, or another process failed."""


@contextmanager
def barrier(accelerator: Accelerator) -> Iterator[None]:
    """Wait for all processes after the body. A process that fails in the body leaves at once.

    The failure is not sent to the others as a tensor: gloo may release the last tensor while the
    process group is destroyed, and then wait for the interpreter forever.

    Raises:
        TrainingError: another process has left.
    """
    yield
    try:
        accelerator.wait_for_everyone()
    except RuntimeError as error:  # from the network
        text = " ".join(str(error).split())
        raise TrainingError(
            f"Another training process failed; see its output ({text[:120]})."
        ) from error


def keep_freed_memory() -> None:
    """Tell glibc's allocator to keep freed memory for the next tensor.

    By default each large tensor gets new pages, which the kernel fills with zeros first; a training
    step makes thousands. Has no effect with other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, _TOP_PAD_BYTES)
