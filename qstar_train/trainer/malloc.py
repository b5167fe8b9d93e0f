"""Settings of the C library's allocator for training on a CPU."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of mallopt, from glibc's malloc.h."""
_TOP_PAD_BYTES = 2**28


def keep_freed_memory() -> None:
    """Tell glibc's allocator to keep freed memory for the next tensor.

    By default each large tensor gets new pages, which the kernel fills with zeros first; a training
    step makes thousands. Has no effect with other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, _TOP_PAD_BYTES)
