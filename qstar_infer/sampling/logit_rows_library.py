"""The library of `logit_rows.c`: its structures, and how it is called."""

import ctypes
import functools
from pathlib import Path

import torch

from qstar_infer.compiled.build import CSource, load_library
from qstar_infer.compiled.parallel import num_threads, parallel_function

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""As `numbers.h` numbers them."""
_ROWS_OF_A_THREAD = 8
"""Fewer rows are done sooner than another thread wakes up."""

_POINTER, _INT32, _INT64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Check(ctypes.Structure):
    """Arguments of `check_and_mask`."""

    _fields_ = (
        *(("logits", _POINTER), ("masked", _POINTER), ("is_finite", _POINTER)),
        *(("stride", _INT64), ("vocab", _INT32), ("num_masked", _INT32)),
    )


class Mix(ctypes.Structure):
    """Arguments of `mix`."""

    _fields_ = (
        *(("thoughts", _POINTER), ("base", _POINTER), ("base_rows", _POINTER)),
        *(("weights", _POINTER), ("masked", _POINTER)),
        *(("stride", _INT64), ("base_stride", _INT64)),
        *(("vocab", _INT32), ("num_masked", _INT32), ("base_kind", _INT32)),
    )


class Score(ctypes.Structure):
    """Arguments of `score`."""

    _fields_ = (
        *(("logits", _POINTER), ("rows", _POINTER), ("tokens", _POINTER)),
        *(("logprobs", _POINTER), ("tops", _POINTER)),
        *(("stride", _INT64), ("vocab", _INT32), ("kind", _INT32)),
    )


class Pick(ctypes.Structure):
    """Arguments of `pick`."""

    _fields_ = (
        *(("rows", _POINTER), ("temperatures", _POINTER), ("keys", _POINTER)),
        ("picked", _POINTER),
        *((name, ctypes.c_double) for name in ("shift", "rounding", "largest")),
        *(("scale", ctypes.c_float), ("vocab", _INT32)),
    )


class LogitRowsLibrary:
    """Functions of `logit_rows.c`. Each takes its structure and the number of rows."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name in ("check_and_mask", "mix", "score", "pick"):
            function = getattr(library, name)
            function.argtypes = (_POINTER, ctypes.c_int, ctypes.c_int, _POINTER)
            function.restype = None

    def check_and_mask(self, arguments: Check, count: int) -> None:
        """Note which rows are finite, and mask tokens."""
        self._call(self._library.check_and_mask, arguments, count)

    def mix(self, arguments: Mix, count: int) -> None:
        """Mix thought logits with base logits, in place."""
        self._call(self._library.mix, arguments, count)

    def score(self, arguments: Score, count: int) -> None:
        """Log-probabilities of a token of each row, and of its most likely token."""
        self._call(self._library.score, arguments, count)

    def pick(self, arguments: Pick, count: int) -> None:
        """Sample where one token is sure to win."""
        self._call(self._library.pick, arguments, count)

    def _call(
        self, function: "ctypes._NamedFuncPointer", arguments: ctypes.Structure, count: int
    ) -> None:
        threads = num_threads() if count >= _ROWS_OF_A_THREAD else 1
        function(ctypes.byref(arguments), count, threads, parallel_function())


SOURCE = CSource(Path(__file__).with_name("logit_rows.c"), ("-ffp-contract=off",))


@functools.cache
def load_logit_rows() -> LogitRowsLibrary | None:
    """The library; None if this machine cannot build it, for example has no `cc`."""
    library = load_library(SOURCE)
    return None if library is None else LogitRowsLibrary(library)
