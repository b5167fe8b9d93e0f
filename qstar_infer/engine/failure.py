"""What an error within a step ends: the requests that it concerns, or the engine."""

from dataclasses import dataclass
from traceback import clear_frames

import torch

from qstar_infer.errors import RequestFailedError

_DEVICE_WORDS = ("CUDA error", "HIP error")
"""How libraries below torch begin what torch then raises as a plain RuntimeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailure:
    """The last news of a request that was ended by an error."""

    request_id: str
    error: RequestFailedError


def request_failed(cause: Exception) -> RequestFailedError:
    """What whoever waits for a request is told, with the cause as its cause."""
    clear_frames(cause.__traceback__)  # a traceback would keep the tensors of its pass
    error = RequestFailedError(
        f"the engine dropped this request because of an error of its own "
        f"({type(cause).__name__}); send it again, or look for the cause in the log"
    )
    error.__cause__ = cause
    return error


def is_device_lost(error: Exception) -> bool:
    """The accelerator failed, and no later call to it can be trusted. Not so if memory ran out."""
    is_known = isinstance(error, torch.AcceleratorError)
    return is_known or any(words in str(error) for words in _DEVICE_WORDS)
