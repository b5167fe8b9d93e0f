"""How freed memory is kept for the next tensor on a CPU."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Names in glibc's malloc.h."""
_TOP_PAD_BYTES = 2**28


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to give memory back to the system.

    By default each large tensor is fresh pages, which the system fills with zeros first; a training
    step makes thousands. Nothing happens where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, _TOP_PAD_BYTES)
