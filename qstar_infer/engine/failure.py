"""Errors in a step: whether they end some requests or the whole engine."""

from dataclasses import dataclass
from traceback import clear_frames

import torch

from qstar_infer.errors import NotFiniteError, NoTokenError, RequestFailedError
from qstar_infer.step import SampledToken
from qstar_infer.wavefront.sequence import Sequence

_DEVICE_WORDS = ("CUDA error", "HIP error")
"""Text in the plain RuntimeErrors that torch raises when the device fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailure:
    """Reports that an error ended a request."""

    request_id: str
    error: RequestFailedError


def request_failed(cause: Exception) -> RequestFailedError:
    """The error to report to the client of a request.

    A RequestFailedError, such as NotFiniteError, is for clients as it is. Of another error,
    `__cause__` is the original.
    """
    clear_frames(cause.__traceback__)  # the traceback would keep the tensors of the pass alive
    if isinstance(cause, RequestFailedError):
        return cause
    error = RequestFailedError(
        f"internal engine error ({type(cause).__name__}); the request was dropped. Retry, or check "
        "the log"
    )
    error.__cause__ = cause
    return error


def check_finite(token: SampledToken | None, *, dtype: str) -> None:
    """Check a decision that becomes part of an output.

    Args:
        dtype: of the model.

    Raises:
        NotFiniteError: it has a fault.
    """
    if token is None or token.fault in (None, "no_token"):
        return
    if token.fault == "talk_head":
        raise NotFiniteError("the talk head's mixing weights are", dtype="float32")
    if token.fault == "gate":
        raise NotFiniteError("the gate's scores are", dtype="float32")
    raise NotFiniteError("the numbers that the model computes are", dtype=dtype)


def check_token_came(seq: Sequence, token: SampledToken) -> None:
    """Check a decision that becomes part of an output.

    Raises:
        NoTokenError: no token was allowed.
    """
    if token.fault != "no_token":
        return
    output = seq.output_until(seq.wavefront.num_verified - 1)
    error = None if seq.grammar is None else seq.grammar.error_after(output)
    if error is not None:
        raise NoTokenError(error)
    raise NoTokenError(
        f"after {len(output)} tokens no other may come: allowed_token_ids, bad_words,"
        " structured_outputs or response_format, and min_tokens exclude all. Loosen one of them"
    )


def is_device_lost(error: Exception) -> bool:
    """Whether the accelerator failed and cannot be used any more. False if memory ran out."""
    is_known = isinstance(error, torch.AcceleratorError)
    return is_known or any(words in str(error) for words in _DEVICE_WORDS)
