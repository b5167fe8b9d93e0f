"""Counts what the headers of weights say: tensors, values and bytes for each dtype."""

import math
import re
from pathlib import Path

from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.checkpoint.inspection.facts import StoredDtype, StoredWeights
from qstar_infer.checkpoint.tensors import TensorHeader

_BITS = re.compile(r"\d+")


def count_safetensors(headers: list[TensorHeader]) -> StoredWeights:
    """Count the tensors of safetensors files."""
    tensors = [(header.dtype, math.prod(header.shape), _num_bytes(header)) for header in headers]
    return _count(tensors, {header.file for header in headers})


def count_gguf(header: GgufHeader) -> StoredWeights:
    """Count the tensors of a GGUF file."""
    tensors = [
        (tensor.type.name, math.prod(tensor.shape), tensor.num_bytes)
        for tensor in header.tensors.values()
    ]
    return _count(tensors, {header.path})


def _num_bytes(header: TensorHeader) -> int:
    """Of the values; safetensors names dtypes by their bits, as BF16 or F8_E4M3."""
    bits = _BITS.search(header.dtype)
    return math.prod(header.shape) * (8 if bits is None else int(bits[0])) // 8


def _count(tensors: list[tuple[str, int, int]], files: set[Path]) -> StoredWeights:
    by_dtype: dict[str, StoredDtype] = {}
    for dtype in {each[0] for each in tensors}:
        own = [each for each in tensors if each[0] == dtype]
        by_dtype[dtype] = StoredDtype(
            num_tensors=len(own),
            num_values=sum(each[1] for each in own),
            num_bytes=sum(each[2] for each in own),
        )
    largest = sorted(by_dtype.items(), key=lambda item: (-item[1].num_bytes, item[0]))
    return StoredWeights(num_files=len(files), by_dtype=dict(largest))
