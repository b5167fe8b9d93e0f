"""A barrier after which all processes continue, or all end with one line of error each."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from qstar_train.errors import TrainingError


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
