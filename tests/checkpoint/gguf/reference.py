"""llama.cpp's own numbers for a GGUF file, if the package llama-cpp-python is installed."""

import ctypes
import importlib.util
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

IS_INSTALLED = importlib.util.find_spec("llama_cpp") is not None
WHY_NOT = "llama-cpp-python is not installed: pip install 'qstar[llama-cpp]'"

_F32 = 0
"""ggml's number for float32."""


def log_probs(path: Path, ids: list[int]) -> NDArray[np.float64]:
    """Log-probabilities after each token, `[len(ids), vocabulary]`.

    In float32 as far as llama.cpp allows: its cache of keys and values is float16 by default.
    """
    model = _loaded(path)
    model.eval(ids)
    logits = np.array(model.scores[: len(ids)], dtype=np.float64)
    top = logits.max(axis=-1, keepdims=True)
    total = np.exp(logits - top).sum(axis=-1, keepdims=True)
    result: NDArray[np.float64] = logits - top - np.log(total)
    return result


def token_ids(path: Path, text: str) -> list[int]:
    """The ids of a text, as llama.cpp encodes a prompt."""
    model = _loaded(path, vocab_only=True)
    return list(model.tokenize(text.encode("utf-8"), add_bos=True, special=True))


def quantised(kind: Any, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The bytes of rows of values, by ggml.

    Args:
        kind: a `gguf.GGMLQuantizationType`.
        rows: `[rows, width]`.
    """
    libraries = Path(importlib.import_module("llama_cpp").__file__ or "").parent / "lib"
    library = ctypes.CDLL(str(next(libraries.glob("libggml-base.so*"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    count, width = rows.shape
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    stored = np.zeros((count, width // block * block_bytes), dtype=np.uint8)
    weight_of_each = np.ones(width, dtype=np.float32)
    pointer = ctypes.c_void_p
    library.ggml_quantize_chunk(
        int(kind),
        rows.ctypes.data_as(pointer),
        stored.ctypes.data_as(pointer),
        ctypes.c_int64(0),
        ctypes.c_int64(count),
        ctypes.c_int64(width),
        weight_of_each.ctypes.data_as(pointer),
    )
    return stored


def _loaded(path: Path, *, vocab_only: bool = False) -> Any:
    Llama = importlib.import_module("llama_cpp").Llama
    return Llama(
        str(path),
        n_ctx=256,
        n_batch=256,
        n_threads=1,
        logits_all=not vocab_only,
        vocab_only=vocab_only,
        verbose=False,
        type_k=_F32,
        type_v=_F32,
        flash_attn=False,
    )
