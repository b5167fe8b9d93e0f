"""FBGEMM's product of float32 states with a float16 weight, for CPUs without 16-bit arithmetic."""

import torch
from torch import Tensor
from torch.nn import functional as F

from qstar_infer.kernels.linear_kernel import PackedLinear
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel

_ROUNDOFF = 2.0**-11
"""Largest relative error of a number that float16 rounds, if it is not tiny."""
_BLOCK, _SMALLEST_REST = 6, 3
"""With AVX2 FBGEMM multiplies 6 rows at a time, and a rest of 1 or 2 by loops that add in another
order. Wavefront and sequential thinking would differ, so such a rest is padded to 3."""


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
            rest = num_rows % _BLOCK
            if 0 < rest < _SMALLEST_REST:
                states = F.pad(states, (0, 0, 0, _SMALLEST_REST - rest))
            output: Tensor = torch.ops.quantized.linear_dynamic_fp16(states, packed)
            return output[:num_rows]

        return multiply


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
