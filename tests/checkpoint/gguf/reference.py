"""llama.cpp's own numbers for a GGUF file, if the package llama-cpp-python is installed."""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

IS_INSTALLED = importlib.util.find_spec("llama_cpp") is not None
WHY_NOT = "llama-cpp-python is not installed: pip install 'qstar[gguf-reference]'"

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
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def token_ids(path: Path, text: str) -> list[int]:
    """The ids of a text, as llama.cpp encodes a prompt."""
    model = _loaded(path, vocab_only=True)
    return list(model.tokenize(text.encode("utf-8"), add_bos=True, special=True))


def _loaded(path: Path, *, vocab_only: bool = False):  # type: ignore[no-untyped-def]
    from llama_cpp import Llama

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
