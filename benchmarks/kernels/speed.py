"""Time of all linear layers of one pass, for each kernel and number of rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.pack_together import pack_together
from qstar_infer.kernels.quantised_linear import FORMATS, QuantisedLinear

Layers = list[tuple[Callable[[Tensor], Tensor], int, torch.dtype]]
"""Products with the width and the dtype of their input."""


def pack_model(backbone: Any, kernel: LinearKernel, quantization: str | None) -> Layers:
    """The products of one pass of a model of the Llama family, joined as its layers allow."""
    packed: Layers = []
    for layer in backbone.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for group in (
            [attention.q_proj, attention.k_proj, attention.v_proj],
            [attention.o_proj],
            [mlp.gate_proj, mlp.up_proj],
            [mlp.down_proj],
        ):
            packed.append(_pack(group, kernel, quantization))
    packed.append(_pack([backbone.lm_head], kernel, None))
    return packed


def _pack(
    group: list[nn.Linear], kernel: LinearKernel, quantization: str | None
) -> tuple[Callable[[Tensor], Tensor], int, torch.dtype]:
    width = group[0].in_features
    if quantization is None:
        layers: Sequence[nn.Module] = [_cast(each, kernel.dtype) for each in group]
    else:
        layers = [QuantisedLinear(FORMATS[quantization](each.weight), None) for each in group]
    return pack_together(layers, kernel), width, kernel.dtype


def _cast(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """A copy in the dtype of the kernel: the plain one takes weights as they are."""
    copy = nn.Linear(layer.in_features, layer.out_features, bias=False, dtype=dtype)
    copy.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    return copy


@torch.inference_mode()
def time_passes(
    models: Mapping[str, Layers], row_counts: Sequence[int], *, num_passes: int
) -> dict[str, dict[int, float]]:
    """Name and number of rows -> median milliseconds of one pass. The models take turns."""
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(num_passes + 1):
        for rows in row_counts:
            for name, layers in models.items():
                inputs = [torch.full((rows, width), 0.5, dtype=dtype) for _, width, dtype in layers]
                started = time.perf_counter()
                for (multiply, _, _), each in zip(layers, inputs, strict=True):
                    multiply(each)
                milliseconds = 1000 * (time.perf_counter() - started)
                taken.setdefault((name, rows), []).append(milliseconds)
    return {
        name: {rows: round(median(taken[name, rows][1:]), 2) for rows in row_counts}
        for name in models
    }
