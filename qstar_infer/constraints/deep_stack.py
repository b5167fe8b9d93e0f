"""Calls functions that may recurse deeply."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_STACK_BYTES = 256 * 2**20
"""Four times what the deepest schema of the largest size takes. Memory is used only as it is
needed."""

_T = TypeVar("_T")
_lock = threading.Lock()


def on_deep_stack(function: Callable[[], _T]) -> _T:
    """What the function returns or raises; it runs on a thread of its own.

    llguidance recurses along the `$ref`s of a schema, and a full stack would end the process.
    """
    result: Future[_T] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="qstar-deep-stack", daemon=True)
    with _lock:
        usual = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(usual)
    return result.result()
