"""The key and value tensors that the blocks index."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.kv_cache.layer_shape import LayerShape


class KVPool:
    """Keys and values of every slot of every layer.

    Attributes:
        keys, values: for each layer `[kv_heads, num_slots, dim]`: a head's keys of adjacent slots
            lie one after the other, which the attention kernel of a CPU reads fastest. Initialised
            to 0, so that unwritten slots are finite where they are masked.
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
            return torch.zeros(heads, num_slots, dim, dtype=dtype, device=device)

        self.keys = [zeros(shape.num_kv_heads, shape.key_dim) for shape in layer_shapes]
        self.values = [zeros(shape.num_kv_heads, shape.value_dim) for shape in layer_shapes]
