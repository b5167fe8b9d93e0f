"""Reads the weights of a GGUF file into the model's parameters."""

import numpy as np
import torch
from torch import Tensor

from qstar_infer.checkpoint.gguf.architectures import EMBEDDING, OUTPUT, num_vector_rows, restore
from qstar_infer.checkpoint.gguf.data import raw_bytes, read_values
from qstar_infer.checkpoint.gguf.file import GgufFile
from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.errors import CheckpointError

_BLANK_RUN = 2**16
"""So many zero bytes in a row are a hole in a download, not weights."""
_EMBEDDINGS = (EMBEDDING, OUTPUT)
"""May have rows of zeros, for ids that no text uses."""


def read_weights(file: GgufFile, *, dtype: torch.dtype) -> dict[str, Tensor]:
    """The parameters by name, dequantised in float32 and then rounded to `dtype`, on the CPU.

    Raises:
        CheckpointError: a matrix has a hole: its bytes are zeros.
    """
    header = file.header
    weights: dict[str, Tensor] = {}
    for parameter, name in file.tensor_of.items():
        _check_not_blank(header, name)
        values = read_values(header.path, header.tensors[name])
        if name in _EMBEDDINGS:
            values = values[: len(values) - num_vector_rows(header)]
        restored = restore(file.architecture, name, weights=values, config=file.config)
        weights[parameter] = torch.from_numpy(np.ascontiguousarray(restored)).to(dtype)
    return weights


def _check_not_blank(header: GgufHeader, name: str) -> None:
    tensor = header.tensors[name]
    if len(tensor.shape) < 2:
        return  # a fresh bias is zero
    content = raw_bytes(header.path, tensor)
    run = len(content) if name in _EMBEDDINGS else min(_BLANK_RUN, len(content))
    whole = len(content) // run * run
    if not bool(content[:whole].reshape(-1, run).any(axis=1).all()):
        raise CheckpointError(
            f"{name} in {header.path} has a run of {run} zero bytes, so its download is not "
            "complete. Fetch the file again."
        )
