"""The library of `paged_attention.c`: its structures, and how it is called."""

import ctypes
import functools
from pathlib import Path

import torch

from qstar_infer.compiled.build import CSource, load_library

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""As `numbers.h` numbers them."""
SECTION = 512
"""Tokens of the text whose attention is computed together."""
MAX_QUERIES = 32
"""Most query heads of a sequence's rows that are computed together."""
MAX_DIM = 256
"""Largest size of a key or value."""

_POINTER, _INT32, _INT64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Layer(ctypes.Structure):
    """Keys and values of a layer."""

    _fields_ = (
        ("keys", _POINTER),
        ("values", _POINTER),
        ("num_slots", _INT64),
        ("kind", _INT32),
        ("kv_heads", _INT32),
        ("key_dim", _INT32),
        ("value_dim", _INT32),
    )


class Step(ctypes.Structure):
    """What the rows of a step attend to."""

    _fields_ = (
        ("sequences", _POINTER),
        ("rows", _POINTER),
        ("tables", _POINTER),
        ("items", _POINTER),
        ("partials", _POINTER),
        ("num_done", _POINTER),
        ("broken", _POINTER),
        ("num_rows", _INT32),
        ("num_items", _INT32),
        ("num_partials", _INT32),
        ("block_size", _INT32),
        ("num_threads", _INT32),
        ("groups", _INT32),
    )


SOURCE = CSource(Path(__file__).with_name("paged_attention.c"), ("-ffp-contract=fast",))


@functools.cache
def load_paged_attention() -> ctypes.CDLL | None:
    """The library; None if this machine cannot build it."""
    library = load_library(SOURCE)
    if library is not None:
        states = (_POINTER, _INT64, _INT64)
        library.attend.argtypes = (
            *(ctypes.POINTER(Layer), ctypes.POINTER(Step)),
            *(*states, *states, *states, _POINTER),
            *(ctypes.c_float, ctypes.c_int, _POINTER),
        )
        library.attend.restype = None
    return library
