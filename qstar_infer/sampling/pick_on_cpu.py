"""Samples on a CPU: the tokens of `pick_tokens`, in a fraction of the time.

`pick_tokens` takes two logarithms for every token of the vocabulary. This needs them for a handful:
the noise of a token is below `-log(tail)`, which a few integer operations bound from above. The
token with the highest bound gives a score to beat, and only tokens whose bound reaches it are
computed by the definition. Nearly always it is that one token.

The common case, that only one token can win, is C where there is a compiler (`logit_rows.c`).
The rest is numpy, a row at a time, in chunks that stay in the cache: small operations cost less
there than in torch, which wakes its threads for each.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from qstar_infer.sampling.logit_rows_library import Pick, load_logit_rows
from qstar_infer.sampling.noise import noise_of_tails, pick_tokens

_Floats = NDArray[np.float32]
_Words = NDArray[np.uint32]

_CHUNK = 1 << 16
"""Tokens hashed at a time. `_hash_chunk` needs the upper 16 bits of all of them to be equal."""
_OFFSETS: _Words = np.arange(_CHUNK, dtype=np.uint32)
_WORD = 0xFFFFFFFF

_LOG_2 = math.log(2.0)
_SCALE = np.float32(-_LOG_2 / 2**23)
"""The bits of a positive float32, read as an integer and divided by 2**23, are its logarithm to
base 2 plus 127, rounded down by at most 0.0861."""
_SHIFT = (127 + 31) * _LOG_2
"""What `_bounds` leaves out: the 127, and the division of `tail` by 2**31."""
_ROUNDING = 2.0**-20
"""16 units in the last place of float32: more than all roundings of a bound or a score sum up to,
relative to `_LARGEST` plus the size of the score."""
_LARGEST = 150.0
"""Above the size of every number that is added to a logit."""


def pick_on_cpu(
    rows: Sequence[_Floats], temperatures: Sequence[float], keys: NDArray[np.int64]
) -> list[int]:
    """Sample one token for each row, exactly as `pick_tokens` does.

    Args:
        rows: logits of each row, `[vocab]`, float32; minus infinity where a token is not allowed.
        temperatures: one for each row; at 0 take the most likely token.
        keys: `[rows]`, int64, from `row_keys`; unused at temperature 0.
    """
    picked = [
        -1 if heat else int(row.argmax()) for row, heat in zip(rows, temperatures, strict=True)
    ]
    hot = [row for row, heat in enumerate(temperatures) if heat]
    if not hot:
        return picked
    sure = _pick_sure([rows[row] for row in hot], [temperatures[row] for row in hot], keys[hot])
    for row, token_id in zip(hot, sure, strict=True):
        is_sure = token_id >= 0
        picked[row] = token_id if is_sure else _sample(rows[row], temperatures[row], int(keys[row]))
    return picked


def _pick_sure(
    rows: Sequence[_Floats], temperatures: Sequence[float], keys: NDArray[np.int64]
) -> list[int]:
    """The token of each row where only one can win; -1 for the others, or without the library."""
    library = load_logit_rows()
    if library is None or not all(row.flags.c_contiguous for row in rows):
        return [-1] * len(rows)
    addresses = np.array([row.ctypes.data for row in rows], dtype=np.uintp)
    heat = np.array(temperatures, dtype=np.float32)
    picked = np.empty(len(rows), dtype=np.int64)
    arguments = Pick(
        rows=addresses.ctypes.data,
        temperatures=heat.ctypes.data,
        keys=keys.ctypes.data,
        picked=picked.ctypes.data,
        shift=_SHIFT,
        rounding=_ROUNDING,
        largest=_LARGEST,
        scale=_SCALE,
        vocab=len(rows[0]),
    )
    library.pick(arguments, len(rows))
    token_ids: list[int] = picked.tolist()
    return token_ids


def _sample(logits: _Floats, temperature: float, key: int) -> int:
    scaled = logits if temperature == 1 else logits / np.float32(temperature)
    tails, bounds = _tails_and_bounds(scaled, key)
    best = int(bounds.argmax())
    score = float(scaled[best]) + _noise(tails[best])
    if not math.isfinite(score):  # a number that is not finite, or no token is allowed
        return _by_definition(logits, temperature, key)
    can_win = bounds >= score - _SHIFT - _ROUNDING * (abs(score) + _LARGEST)
    if np.count_nonzero(can_win) == 1:
        return best
    tokens = np.flatnonzero(can_win)
    scores = torch.from_numpy(scaled[tokens]) + noise_of_tails(torch.from_numpy(tails[tokens]))
    return int(tokens[int(scores.argmax())])


def _tails_and_bounds(scaled: _Floats, key: int) -> tuple[_Floats, _Floats]:
    """For each token its `tail` and an upper bound of its score, less `_SHIFT`: `[vocab]` each."""
    tails, bounds = np.empty_like(scaled), np.empty_like(scaled)
    bits, spare = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    for first in range(0, len(scaled), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        tail, bound = tails[chunk], bounds[chunk]
        size = len(tail)
        _hash_chunk(bits[:size], spare[:size], first, key)
        np.copyto(tail, bits[:size].view(np.int32), casting="unsafe")
        np.copyto(bound, tail.view(np.int32), casting="unsafe")
        bound *= _SCALE
        bound += scaled[chunk]
    return tails, bounds


def _hash_chunk(bits: _Words, spare: _Words, first: int, key: int) -> None:
    """Write the tails of the tokens from `first` : 31 bits of `mix(mix(token ^ low) ^ high)`.

    `mix` is `noise._mix32_`, which begins and ends with `x ^= x >> 16`. Here the first of these
    steps is an XOR with a constant, because the chunk's tokens have the same upper 16 bits. So are
    the two in the middle: they cancel out, except for the bits of `high`.
    """
    low, high = key & _WORD, key >> 32 & _WORD
    start = low ^ first
    np.bitwise_xor(_OFFSETS[: len(bits)], np.uint32(start ^ start >> 16), out=bits)
    _mix_middle(bits, spare)
    bits ^= np.uint32(high ^ high >> 16)
    _mix_middle(bits, spare)
    np.right_shift(bits, 16, out=spare)
    bits ^= spare
    bits &= np.uint32(0x7FFFFFFF)


def _mix_middle(bits: _Words, spare: _Words) -> None:
    bits *= np.uint32(0x7FEB352D)
    np.right_shift(bits, 15, out=spare)
    bits ^= spare
    bits *= np.uint32(0x846CA68B)


def _noise(tail: np.float32) -> float:
    """The noise of one token, not rounded to float32."""
    share = min(float(tail + np.float32(0.5)) * 2.0**-31, 1 - 2.0**-24)
    return -math.log(-math.log1p(-share))


def _by_definition(logits: _Floats, temperature: float, key: int) -> int:
    row = torch.from_numpy(logits).unsqueeze(0)
    return int(pick_tokens(row, torch.tensor([temperature]), torch.tensor([key])))
