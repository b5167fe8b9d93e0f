"""What an error in a step ends: the requests that it concerns, or the engine."""

from dataclasses import dataclass
from traceback import clear_frames

import torch

from qstar_infer.errors import RequestFailedError

_DEVICE_WORDS = ("CUDA error", "HIP error")
"""How errors begin that torch raises as a plain RuntimeError when the device fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailure:
    """The last news of a request that an error ended."""

    request_id: str
    error: RequestFailedError


def request_failed(cause: Exception) -> RequestFailedError:
    """The error that the client of a request gets; its `__cause__` is the cause."""
    clear_frames(cause.__traceback__)  # a traceback would keep the tensors of its pass
    error = RequestFailedError(
        f"internal engine error ({type(cause).__name__}); the request was dropped. Retry, or check "
        "the log"
    )
    error.__cause__ = cause
    return error


def is_device_lost(error: Exception) -> bool:
    """The accelerator failed, and no later call to it can be trusted. Not so if memory ran out."""
    is_known = isinstance(error, torch.AcceleratorError)
    return is_known or any(words in str(error) for words in _DEVICE_WORDS)
