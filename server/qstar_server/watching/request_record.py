"""What is known of one HTTP request: gathered while it is served, read at its end.

Log, metrics and traces are written from it. It holds numbers and names, never a text of the
client or of the model.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from qstar_server.generation.usage import TokenCounts
from qstar_server.watching.metrics.request_counts import OTHER, RequestCounts


@dataclass(slots=True, kw_only=True)
class GenerationRecord:
    """The generating part of a request, up to now."""

    model: str
    """The name that the model is served under."""
    response_id: str
    """How the engine's log names the request, without the number of the prompt."""
    max_tokens: int
    """Most visible tokens of a completion, of all prompts the most."""
    counts: TokenCounts
    """Tokens up to now, shared with the job."""
    first_token_s: float | None = None
    """From the arrival of the HTTP request."""
    finish_reasons: list[str] = field(default_factory=list)
    """One for each completion that has ended; see `FINISH_REASONS`."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One HTTP request, up to now."""

    request_id: str
    method: str
    """A method of HTTP, or `other`."""
    traceparent: str | None = None
    """The header of W3C Trace Context, as it came."""
    started_s: float = field(default_factory=time.monotonic)
    started_ns: int = field(default_factory=time.time_ns)
    """Unix time."""
    totals: RequestCounts = field(default_factory=RequestCounts)
    """What the server counts over all requests."""
    logs_texts: bool = False
    """Whether the operator wants prompts and outputs in the log."""
    route: str = OTHER
    """Template of the path, such as `/v1/models/{model}`."""
    status: int | None = None
    """None before the response begins."""
    error: str | None = None
    """Code, or else type, of the error that the client got."""
    generation: GenerationRecord | None = None
    """None if the request has not reached the engine."""
    duration_s: float = 0.0
    """Set at the end of the response."""


_record: ContextVar[RequestRecord | None] = ContextVar("record", default=None)
"""Inherited by the tasks and threads that work for the request."""


def current_record() -> RequestRecord | None:
    """The record of the request that the caller works for; None outside of a request."""
    return _record.get()


def set_current_record(record: RequestRecord) -> None:
    """From here on, the caller and what it starts work for this request."""
    _record.set(record)
