"""oneDNN's matrix product with a weight in the layout of its kernel, packed once.

torch itself packs the weight again in every call, which costs more than the product of a few rows.
"""

import torch
from torch import Tensor

from qstar_infer.kernels.linear_kernel import PackedLinear, pad_rows

_LAYOUT_ROWS = 8
"""oneDNN chooses the layout for this number of rows; any number can be multiplied."""
_FEWEST_ROWS = 2
"""For 1 row oneDNN may add in another order, and wavefront and sequential thinking would differ."""


class OneDnnKernel:
    """A `LinearKernel` with weights and states of one dtype, float32 or bfloat16.

    The bits of a row do not depend on the number of rows.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.name = f"packed {str(dtype).removeprefix('torch.')}"
        self.bytes_per_weight = dtype.itemsize

    def is_available(self) -> bool:
        """Whether this torch has oneDNN, with kernels of this dtype for this CPU."""
        if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return False
        is_supported = self.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return bool(is_supported)

    def padded_rows(self, num_rows: int) -> int:
        """See `LinearKernel.padded_rows`."""
        return max(num_rows, _FEWEST_ROWS)

    def pack(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        """See `LinearKernel.pack`. Copies the weight."""
        packed = torch.ops.mkldnn._reorder_linear_weight(
            weight.to(self.dtype).contiguous(), _LAYOUT_ROWS
        )
        packed_bias = None if bias is None else bias.to(self.dtype)

        def multiply(states: Tensor) -> Tensor:
            num_rows = states.shape[0]
            padded = pad_rows(states, self.padded_rows(num_rows))
            output: Tensor = torch.ops.mkldnn._linear_pointwise(
                padded, packed, packed_bias, "none", [], ""
            )
            return output[:num_rows]

        return multiply
