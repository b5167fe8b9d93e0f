"""One transformer layer of the Llama family with packed weights and few operations."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qstar_infer.attention.interface import AttentionState
from qstar_infer.decoder.llama_family import LayerModules
from qstar_infer.decoder.row_ops import Norm, Rotation, RowOps
from qstar_infer.kernels.linear_kernel import LinearKernel, PackedLinear
from qstar_infer.kernels.pack_together import pack_together


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedLayer:
    """Packed weights of one layer.

    The residual stream stays in float32, also where the weights are bfloat16: each layer adds to it
    without rounding it again.
    """

    index: int
    input_norm: Norm
    qkv: PackedLinear
    head_norm: Norm | None
    output: PackedLinear
    mlp_norm: Norm
    gate_up: PackedLinear
    down: PackedLinear
    head_counts: list[int]
    """Of queries, keys and values."""
    head_dim: int
    scale: float
    window: int | None
    has_rope: bool

    def run(
        self,
        ops: RowOps,
        states: Tensor,
        update: Tensor | None,
        rotation: Rotation,
        attention: AttentionState,
        num_rows: int,
    ) -> Tensor:
        """Add the previous layer's update to the states, and compute this layer's.

        Args:
            states: `[rows, hidden]`, float32; changed in place.
            update: `[rows, hidden]` in the decoder's dtype; None in the first layer.
            num_rows: rows that attend; the others are padding, and come last.

        Returns:
            `[rows, hidden]` in the decoder's dtype: what is still to be added to the states.
        """
        rows = states.shape[0]
        num_heads, num_kv_heads, _ = self.head_counts
        normed = ops.add_norm_(states, update, self.input_norm)
        heads = self.qkv(normed).view(rows, num_heads + 2 * num_kv_heads, self.head_dim)
        ops.norm_rotate_(
            heads, num_heads + num_kv_heads, self.head_norm, rotation if self.has_rope else None
        )
        real = heads[:num_rows].transpose(0, 1).unsqueeze(0)
        query, key, value = torch.split(real, self.head_counts, dim=1)
        mixed = attention.attend(
            self.index, query, key, value, scale=self.scale, window=self.window
        ).reshape(num_rows, -1)
        if num_rows < rows:
            mixed = F.pad(mixed, (0, 0, 0, rows - num_rows))
        normed = ops.add_norm_(states, self.output(mixed), self.mlp_norm)
        return self.down(ops.silu_gate(self.gate_up(normed)))


def pack_layer(modules: LayerModules, kernel: LinearKernel) -> FusedLayer:
    """Pack the weights of a layer.

    Raises:
        TypeError: the kernel cannot read a linear layer.
    """
    return FusedLayer(
        index=modules.index,
        input_norm=read_norm(modules.input_norm),
        qkv=pack_together(modules.qkv, kernel),
        head_norm=_head_norm(modules),
        output=pack_together([modules.output], kernel),
        mlp_norm=read_norm(modules.mlp_norm),
        gate_up=pack_together(modules.gate_up, kernel),
        down=pack_together([modules.down], kernel),
        head_counts=[modules.num_heads, modules.num_kv_heads, modules.num_kv_heads],
        head_dim=modules.head_dim,
        scale=modules.scale,
        window=modules.window,
        has_rope=modules.has_rope,
    )


def read_norm(module: nn.Module) -> Norm:
    """The weight, in float32, and epsilon of an RMS norm of transformers."""
    weight, eps = module.weight, module.variance_epsilon
    assert isinstance(weight, Tensor)
    assert isinstance(eps, float)
    return Norm(weight=weight.detach().float().contiguous(), eps=eps)


def _head_norm(modules: LayerModules) -> Norm | None:
    """The norms of query and key heads as one, `[heads + kv_heads, head_dim]`."""
    if not modules.head_norms:
        return None
    query, key = map(read_norm, modules.head_norms)
    if query.eps != key.eps:
        raise TypeError("the norms of queries and keys have different epsilons")
    weights = [
        query.weight.expand(modules.num_heads, -1),
        key.weight.expand(modules.num_kv_heads, -1),
    ]
    return Norm(weight=torch.cat(weights).contiguous(), eps=query.eps)
