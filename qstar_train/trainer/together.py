"""Processes that go on together or end together, each with one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from qstar_train.errors import TrainingError


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """A barrier after the body; every process enters it. One that fails in the body just goes.

    A tensor could carry who has failed, but gloo lets go of the last one while the group is taken
    down, and may then wait for the interpreter for good.

    Raises:
        TrainingError: another process has gone.
    """
    yield
    try:
        accelerator.wait_for_everyone()
    except RuntimeError as error:  # of the network
        text = " ".join(str(error).split())
        raise TrainingError(f"Another process has ended, and says why ({text[:120]}).") from error
