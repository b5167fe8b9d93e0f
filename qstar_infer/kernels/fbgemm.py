"""FBGEMM's product of float32 states with a float16 weight, for CPUs without 16-bit arithmetic."""

import functools

import torch
from torch import Tensor

from qstar_infer.kernels.linear_kernel import PackedLinear, pad_rows
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel

_ROUNDOFF = 2.0**-11
"""Largest relative error of a number that float16 rounds, if it is not tiny."""
_PASS, _BLOCK = 120, 6
"""FBGEMM multiplies so many rows after each other, in blocks of at most so many."""
_IN_EVEN_BLOCKS = 30
"""Up to so many rows are dealt out to blocks of 3 and more, but for those in `_IN_ODD_BLOCKS`."""
_IN_ODD_BLOCKS = (1, 2, 7, 14)


class Float16WeightKernel:
    """A `LinearKernel` with float16 weights and float32 states.

    A weight that float16 cannot hold is packed in float32 instead. The bits of a row do not depend
    on the number of rows.
    """

    name = "float16 weights"
    dtype = torch.float32
    bytes_per_weight = 2

    def is_available(self) -> bool:
        """Whether this torch was built with FBGEMM, and runs it on this CPU."""
        return "fbgemm" in torch.backends.quantized.supported_engines

    def padded_rows(self, num_rows: int) -> int:
        """See `LinearKernel.padded_rows`."""
        return _without_small_blocks(num_rows) if _small_blocks_differ() else num_rows

    def pack(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        """See `LinearKernel.pack`. Copies the weight."""
        wide = weight.float()
        if not fits_float16(wide):
            return _float32_kernel().pack(wide, bias)
        packed = torch.ops.quantized.linear_prepack_fp16(
            wide.contiguous(), None if bias is None else bias.float()
        )

        def multiply(states: Tensor) -> Tensor:
            num_rows = states.shape[0]
            padded = pad_rows(states, self.padded_rows(num_rows))
            output: Tensor = torch.ops.quantized.linear_dynamic_fp16(padded, packed)
            return output[:num_rows]

        return multiply


@functools.cache
def _small_blocks_differ() -> bool:
    """Whether FBGEMM adds in another order in blocks of 1 and 2 rows than in larger ones.

    It does with AVX2, and wavefront and sequential thinking would differ; not with AVX512. Which of
    them it uses is known to itself only.
    """
    generator = torch.Generator().manual_seed(0)
    weight, rows = (torch.randn(48, 64, generator=generator) for _ in range(2))
    packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
    multiply = torch.ops.quantized.linear_dynamic_fp16
    whole = multiply(rows[:3], packed)
    return not all(torch.equal(multiply(rows[:n], packed), whole[:n]) for n in (1, 2))


def _without_small_blocks(num_rows: int) -> int:
    """The next number of rows that FBGEMM multiplies in blocks of 3 and more with AVX2."""
    rest = num_rows % _PASS
    while rest in _IN_ODD_BLOCKS or (rest > _IN_EVEN_BLOCKS and 0 < rest % _BLOCK < 3):
        rest += 1
    return num_rows - num_rows % _PASS + rest


def fits_float16(weight: Tensor) -> bool:
    """Whether float16 holds each row of a float32 weight, `[out, in]`, to its own precision.

    It does not if a value is above 65,504, or if so many values of a row are tiny that the error of
    the row is more than float16's roundoff.
    """
    error = torch.linalg.vector_norm(weight - weight.half(), dim=1)
    return bool((error <= _ROUNDOFF * torch.linalg.vector_norm(weight, dim=1)).all())


def _float32_kernel() -> OneDnnKernel | PlainKernel:
    packed = OneDnnKernel(torch.float32)
    return packed if packed.is_available() else PlainKernel(torch.float32)
