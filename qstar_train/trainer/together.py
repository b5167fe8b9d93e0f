"""Processes that go on together or end together, each with one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator

from qstar_infer.errors import QStarError
from qstar_train.errors import TrainingError


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """A barrier that ends every process where one has failed; every process enters it.

    Without it the others would wait for the one that has gone, and end in an error of the network.

    Raises:
        TrainingError: another process failed.
    """
    is_failed = torch.zeros(1, device=accelerator.device)
    try:
        yield
    except QStarError:
        accelerator.reduce(is_failed + 1)
        raise
    if accelerator.reduce(is_failed).item():
        raise TrainingError("Another process has failed; its message says why.")
