"""The tensors behind the blocks: keys and values of every slot of every layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.kv_cache.layer_shape import LayerShape


class KVPool:
    """Keys and values of every slot of every layer.

    Attributes:
        keys, values: for each layer `[num_slots, kv_heads, head_dim]`, zero at first, so that a
            masked slot that nobody wrote is a finite number.
    """

    def __init__(
        self,
        layer_shapes: Sequence[LayerShape],
        num_slots: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        def zeros(heads: int, dim: int) -> Tensor:
            return torch.zeros(num_slots, heads, dim, dtype=dtype, device=device)

        self.keys = [zeros(shape.num_kv_heads, shape.key_dim) for shape in layer_shapes]
        self.values = [zeros(shape.num_kv_heads, shape.value_dim) for shape in layer_shapes]
