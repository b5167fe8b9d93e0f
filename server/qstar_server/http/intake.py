"""Threads for what comes in: parsing, checking, templates, tokenising.

They are few and apart from all others. So requests that cost much to read, or to refuse, wait for
each other, and responses and probes wait for none of them.
"""

import os
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

_MAX_THREADS = min(4, max(2, (os.cpu_count() or 2) - 1))
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("intake_limiter")
"""That of the running event loop."""


async def in_intake(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Call a function on one of the threads; returns or raises what it does."""
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(_MAX_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *arguments, limiter=limiter)
