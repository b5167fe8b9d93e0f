"""Counter-based sampling noise: a hash of the position, not the state of a random generator.

The noise is a pure function of seed, position, stream index and token. A position therefore has the
same noise for draft and target, before and after a preemption, and in any batch.
`argmax(logits / temperature + noise)` samples exactly from softmax(logits / temperature) (the
Gumbel-max trick) and is repeatable.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_Integers = TypeVar("_Integers", Tensor, NDArray[np.int64])

VISIBLE_STREAM = 0
"""Stream index of the visible token at a position; thought token i (from 1) has index i."""

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer


def _shift64(x: _Integers, bits: int) -> _Integers:
    """Logical right shift of int64 (`>>` is arithmetic)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix64(x: _Integers) -> _Integers:
    """A 64-bit finaliser in wrapping int64 arithmetic (splitmix64's constants)."""
    x = (x ^ _shift64(x, 30)) * -4658895280553007687
    x = (x ^ _shift64(x, 27)) * -7723592293110705685
    return x ^ _shift64(x, 31)


def row_keys(seeds: _Integers, positions: _Integers, stream_indices: _Integers) -> _Integers:
    """Hash seed, position and stream index into one 64-bit key for each row.

    Args:
        seeds, positions, stream_indices: `[rows]`, int64, of torch or of numpy. A position is the
            index in the sequence of the visible token that is sampled, or that the thought is
            about.

    Returns:
        `[rows]`, int64.
    """
    key = _mix64(seeds + _GOLDEN)
    key = _mix64(key ^ (positions + _GOLDEN))
    return _mix64(key ^ (stream_indices * _GOLDEN + 1))


def derive_seed(seed: int, index: int) -> int:
    """The seed of completion `index` of a request; `seed` itself for index 0."""
    if index == 0:
        return seed
    one = torch.ones(1, dtype=torch.int64)
    return int(row_keys(one * seed, one * index, one * -1))


def _mix32_(x: Tensor) -> Tensor:
    """A 32-bit finaliser in place, in wrapping int32 arithmetic."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= -2073254261  # 0x846CA68B
    x ^= (x >> 16) & 0xFFFF
    return x


def gumbel_noise(keys: Tensor, vocab_size: int) -> Tensor:
    """Standard Gumbel noise for every token of every row.

    Args:
        keys: `[rows]`, int64, from `row_keys`.

    Returns:
        `[rows, vocab]`, float32, in about [-2.8, 22.2].
    """
    low = keys.to(torch.int32).unsqueeze(1)
    high = (keys >> 32).to(torch.int32).unsqueeze(1)
    tokens = torch.arange(vocab_size, dtype=torch.int32, device=keys.device)
    bits = _mix32_(_mix32_(tokens ^ low) ^ high)
    return noise_of_tails((bits & 0x7FFFFFFF).float())


def noise_of_tails(tails: Tensor) -> Tensor:
    """Standard Gumbel noise from uniform integers.

    A small tail gives large noise, which decides the argmax; there float32 has full relative
    precision.

    Args:
        tails: float32; the lower 31 bits of hashes. Overwritten.

    Returns:
        The same tensor.
    """
    shares = tails.add_(0.5).mul_(2.0**-31)
    shares.clamp_(max=1 - 2.0**-24)  # 1 would give noise of minus infinity
    exponential = shares.neg_().log1p_().neg_()
    return exponential.log_().neg_()


def pick_tokens(logits: Tensor, temperatures: Tensor, keys: Tensor) -> Tensor:
    """Sample one token for each row; at temperature 0, take the most likely one.

    Args:
        logits: `[rows, vocab]`, float32; minus infinity where a token is not allowed.
        temperatures: `[rows]`, float32; normalised (`normalised_temperature`).
        keys: `[rows]`, int64; unused at temperature 0.

    Returns:
        `[rows]`, int64.
    """
    picked = logits.argmax(dim=-1)
    hot = (temperatures > 0).nonzero().squeeze(1)
    if hot.numel() > 0:
        scaled = logits[hot] / temperatures[hot].unsqueeze(1)
        picked[hot] = scaled.add_(gumbel_noise(keys[hot], logits.shape[-1])).argmax(dim=-1)
    return picked
