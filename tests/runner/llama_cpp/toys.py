"""Toy models as GGUF directories, and why tests of llama.cpp are skipped."""

import importlib.util
from pathlib import Path

import pytest

from qstar_infer.checkpoint.gguf.save import MODEL_FILE, save_gguf
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner.llama_cpp.model import LlamaCppModel, open_model, with_exact_cache

needs_llama_cpp = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None,
    reason="llama-cpp-python is not installed: pip install 'qstar[llama-cpp]'",
)


def exact(model: QuietStarModel, directory: Path) -> LlamaCppModel:
    """The same model for llama.cpp, with weights, keys and values in float32."""
    save_gguf(model, directory, kind="f32")
    return with_exact_cache(open_model(directory / MODEL_FILE, name="toy"))
