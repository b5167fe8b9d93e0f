"""The library of `row_ops.c`."""

import ctypes
import functools
from pathlib import Path

from qstar_infer.compiled.build import CSource, load_library

_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_ARGUMENTS = {
    "add_norm": [_POINTER, _POINTER, _POINTER, _FLOAT, _POINTER, _INT, _INT, _INT],
    "norm_rotate": [*[_POINTER] * 4, _FLOAT, *[_INT] * 5],
    "silu_gate": [_POINTER, _POINTER, _INT, _INT, _INT],
}

SOURCE = CSource(Path(__file__).with_name("row_ops.c"), ("-ffp-contract=off",))


@functools.cache
def load_row_ops_library() -> ctypes.CDLL | None:
    """The library of `row_ops.c`; None if this machine cannot build it, for example has no `cc`."""
    library = load_library(SOURCE)
    if library is not None:
        for name, arguments in _ARGUMENTS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, None
    return library
