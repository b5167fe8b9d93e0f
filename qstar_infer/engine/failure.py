"""Errors in a step: whether they end some requests or the whole engine."""

from dataclasses import dataclass
from traceback import clear_frames

import torch

from qstar_infer.errors import RequestFailedError

_DEVICE_WORDS = ("CUDA error", "HIP error")
"""Text in the plain RuntimeErrors that torch raises when the device fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailure:
    """Reports that an error ended a request."""

    request_id: str
    error: RequestFailedError


def request_failed(cause: Exception) -> RequestFailedError:
    """The error to report to the client of a request; `__cause__` is the original error."""
    clear_frames(cause.__traceback__)  # the traceback would keep the tensors of the pass alive
    error = RequestFailedError(
        f"internal engine error ({type(cause).__name__}); the request was dropped. Retry, or check "
        "the log"
    )
    error.__cause__ = cause
    return error


def is_device_lost(error: Exception) -> bool:
    """Whether the accelerator failed and cannot be used any more. False if memory ran out."""
    is_known = isinstance(error, torch.AcceleratorError)
    return is_known or any(words in str(error) for words in _DEVICE_WORDS)
