"""Keeps the 4-bit blocks of a GGUF file, for `quantization="int4-cpu"`.

Q4_0 and Q4_1 have 16 levels for each 32 inputs, as our layers have: no level is rounded again. Only
scale and zero are, from float16 to bfloat16. Layers of other types are dequantised and rounded.
"""

import numpy as np
import torch
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from qstar_infer.checkpoint.gguf.architectures import restore
from qstar_infer.checkpoint.gguf.data import raw_bytes
from qstar_infer.checkpoint.gguf.file import GgufFile
from qstar_infer.kernels.int4 import GROUP, Int4Weight, fits
from qstar_infer.kernels.quantised_linear import QuantisedLinear

_NUM_FLOATS = {GGMLQuantizationType.Q4_0: 1, GGMLQuantizationType.Q4_1: 2}
"""float16 numbers before the levels of a block: the scale, and the value of level 0."""


def keep_own_blocks(backbone: PreTrainedModel, file: GgufFile) -> None:
    """Replace the layers that the file has in 4-bit blocks. The output embedding stays."""
    for parameter, name in file.tensor_of.items():
        path, _, kind = parameter.rpartition(".")
        tensor = file.header.tensors[name]
        if kind != "weight" or tensor.type not in _NUM_FLOATS:
            continue
        layer = backbone.get_submodule(path)
        if type(layer) is nn.Linear and layer is not backbone.lm_head and fits(layer.weight):
            weight = _read(file, name)
            bias = None if layer.bias is None else layer.bias.detach()
            backbone.set_submodule(path, QuantisedLinear(weight, bias))


def _read(file: GgufFile, name: str) -> Int4Weight:
    tensor = file.header.tensors[name]
    num_floats = _NUM_FLOATS[tensor.type]
    blocks = raw_bytes(file.header.path, tensor).reshape(-1, 2 * num_floats + GROUP // 2)
    floats = blocks[:, : 2 * num_floats].copy().view("<f2").astype(np.float32)
    nibbles = blocks[:, 2 * num_floats :]
    levels = np.concatenate([nibbles & 15, nibbles >> 4], axis=1)
    scales = floats[:, 0]
    # Our zero is the value of level 8, which is 0 in Q4_0.
    zeros = floats[:, 1] + 8 * scales if num_floats == 2 else np.zeros_like(scales)

    def restored(values: NDArray[np.generic]) -> torch.Tensor:
        rows = values.reshape(tensor.shape[0], -1)
        ordered = restore(file.architecture, name, weights=rows, config=file.config)  # type: ignore[arg-type]
        return torch.from_numpy(np.ascontiguousarray(ordered))

    return Int4Weight.of_levels(restored(levels), restored(scales), restored(zeros))
