"""Toys with a quantised embedding.

llama.cpp looks up the rows of an embedding exactly, whereas it multiplies quantised matrices with
rounded activations; so only the embedding shows whether the values are read right.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.checkpoint.gguf.toys import HEAD_DIM, noise, write_toy
from tests.checkpoint.gguf.vocabularies import byte_level_vocabulary

WIDTH = 256
"""Values in a row; the blocks of some types are as long."""
_NUM_ROWS = 4

_Type = gguf.GGMLQuantizationType
TYPES = [
    getattr(_Type, name)
    for name in [
        "F16",
        "BF16",
        "Q4_0",
        "Q4_1",
        "Q5_0",
        "Q5_1",
        "Q8_0",
        "Q2_K",
        "Q3_K",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ2_S",
        "IQ3_XXS",
        "IQ3_S",
        "IQ1_S",
        "IQ1_M",
        "IQ4_NL",
        "IQ4_XS",
        "TQ1_0",
        "TQ2_0",
    ]
]


def blocks() -> NDArray[np.float32]:
    """The values to quantise, `[_NUM_ROWS, WIDTH]`."""
    return noise((_NUM_ROWS, WIDTH), seed=5, scale=0.3)


def quantised_toy(path: Path, kind: Any, rows: NDArray[np.uint8]) -> Path:
    """A toy of WIDTH whose embedding repeats these rows.

    Args:
        path: where.
        kind: the type of the embedding.
        rows: its stored bytes, `[_NUM_ROWS, bytes of a row]`.
    """
    count = len(byte_level_vocabulary()["tokenizer.ggml.tokens"])
    embedding = np.tile(rows, (count // _NUM_ROWS + 1, 1))[:count]
    return write_toy(
        path,
        hidden=WIDTH,
        keys={"attention.key_length": HEAD_DIM, "attention.value_length": HEAD_DIM},
        tensors={"token_embd.weight": embedding},
        types={"token_embd.weight": kind},
    )
