"""Reads the values of a GGUF file's tensors."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, dequantize, quant_shape_to_byte_shape
from numpy.typing import NDArray

from qstar_infer.checkpoint.gguf.header import GgufTensor

_Type = GGMLQuantizationType

_FLOATS: dict[GGMLQuantizationType, np.dtype[Any]] = {
    _Type.F32: np.dtype("<f4"),
    _Type.F16: np.dtype("<f2"),
}

READABLE_TYPES = frozenset(_FLOATS) | {
    _Type.BF16,
    _Type.Q4_0,
    _Type.Q4_1,
    _Type.Q5_0,
    _Type.Q5_1,
    _Type.Q8_0,
    _Type.Q2_K,
    _Type.Q3_K,
    _Type.Q4_K,
    _Type.Q5_K,
    _Type.Q6_K,
    _Type.IQ2_XXS,
    _Type.IQ2_XS,
    _Type.IQ2_S,
    _Type.IQ3_XXS,
    _Type.IQ3_S,
    _Type.IQ1_S,
    _Type.IQ1_M,
    _Type.IQ4_NL,
    _Type.IQ4_XS,
    _Type.TQ1_0,
    _Type.TQ2_0,
}
"""Types whose values the tests have compared with llama.cpp's."""


def read_values(path: Path, tensor: GgufTensor) -> NDArray[np.float32]:
    """The values of one tensor, in its shape. Only this tensor's bytes are read."""
    stored = raw_bytes(path, tensor)
    if tensor.type in _FLOATS:
        values: NDArray[np.float32] = stored.view(_FLOATS[tensor.type]).astype(np.float32)
        return values.reshape(tensor.shape)
    rows = stored.reshape(quant_shape_to_byte_shape(tensor.shape, tensor.type))
    dequantised: NDArray[np.float32] = dequantize(rows, tensor.type)
    return dequantised


def raw_bytes(path: Path, tensor: GgufTensor) -> NDArray[np.uint8]:
    """The bytes of one tensor, mapped from the file."""
    return np.memmap(path, dtype=np.uint8, mode="r", offset=tensor.start, shape=(tensor.num_bytes,))
