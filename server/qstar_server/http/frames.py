"""What a stream consists of: frames, and how an endpoint begins, ends and fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qstar_server.http.errors import ApiError


@dataclass(frozen=True, slots=True)
class NamedFrame:
    """A server-sent event with a name, as in `/v1/responses` and `/v1/messages`."""

    name: str
    data: str
    """JSON on one line."""


Frame = str | NamedFrame
"""A JSON text alone is an event without a name, as in completions and chat."""


def _error_envelope(error: ApiError) -> Sequence[Frame]:
    return [error.json()]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamForm:
    """The frames of a stream that do not come from the engine's outputs.

    The default is the form of completions and chat.
    """

    opening: Sequence[Frame] = ()
    """Sent at once, before the first output."""
    failure: Callable[[ApiError], Sequence[Frame]] = _error_envelope
    """The frames that tell of an error after the first byte."""
    end: Sequence[Frame] = ("[DONE]",)
    """Sent last, after success and failure."""
