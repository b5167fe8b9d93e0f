"""A frozen linear layer, packed in both directions, for training in float32 on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

from qstar_infer.kernels.linear_kernel import PackedLinear
from qstar_infer.kernels.one_dnn import OneDnnKernel


class FrozenLinear(nn.Module):
    """`nn.Linear` whose weight gets no gradient. Holds two packed copies, one transposed."""

    def __init__(self, layer: nn.Linear) -> None:
        """
        Args:
            layer: float32, on a CPU with oneDNN. Later changes of its weight have no effect.
        """
        super().__init__()
        kernel = OneDnnKernel(torch.float32)
        weight = layer.weight.detach()
        bias = None if layer.bias is None else layer.bias.detach()
        self._forwards = kernel.pack(weight, bias)
        self._backwards = kernel.pack(weight.T, None)
        self.out_features, self.in_features = weight.shape

    def forward(self, states: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`, float32, with a gradient with respect to the states."""
        rows = states.reshape(-1, self.in_features)
        product: Tensor = _FrozenProduct.apply(rows, self._forwards, self._backwards)  # type: ignore[no-untyped-call]
        return product.view(*states.shape[:-1], self.out_features)


class _FrozenProduct(torch.autograd.Function):
    """A product whose gradient is another one."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, forwards: PackedLinear, backwards: PackedLinear) -> Tensor:
        ctx.backwards = backwards
        return forwards(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.backwards(gradients[0].contiguous()), None, None
