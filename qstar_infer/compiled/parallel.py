"""The threads of torch, for C."""

import ctypes
import functools

import torch


@functools.cache
def parallel_function() -> int | None:
    """The address of GOMP_parallel in the OpenMP that torch has loaded; None if it is another.

    Threads of a second OpenMP would wait actively and take the CPUs from those of torch.
    """
    try:
        function = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no such namespace
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


def num_threads() -> int:
    """How many threads C code may use."""
    return torch.get_num_threads() if parallel_function() is not None else 1
