"""Writes a model as a directory for llama.cpp: a GGUF file, and its thought parts beside it."""

import ctypes
import shutil
from pathlib import Path

import torch

from qstar_infer.checkpoint.gguf.llama_cpp import llama_cpp
from qstar_infer.checkpoint.gguf.write import check_writable, write_gguf
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.save import (
    check_empty,
    make_sibling,
    move_into_place,
    share_files,
    write_thought_parts,
)
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel

MODEL_FILE = "model.gguf"
FLOAT_TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
"""Types that we write ourselves."""
QUANTISED_TYPES = {"q8_0": 7, "q4_0": 2, "q4_1": 3}
"""Types that llama.cpp quantises to, and its numbers for them (`llama_ftype`)."""
GGUF_TYPES = (*FLOAT_TYPES, *QUANTISED_TYPES)
_F16 = 1
"""`ggml_type` of the input embedding in a quantised file: it holds the thought vectors."""


def check_type(name: str) -> None:
    """Check the name of a type of weights.

    Raises:
        ConfigError: it is unknown, or it needs llama.cpp, which is not installed.
    """
    if name not in GGUF_TYPES:
        raise ConfigError(f"the GGUF type {name!r} is unknown; use one of {', '.join(GGUF_TYPES)}.")
    if name in QUANTISED_TYPES:
        llama_cpp()


def save_gguf(model: QuietStarModel, directory: str | Path, *, kind: str) -> None:
    """Write a model for llama.cpp, completely or not at all.

    The directory holds `model.gguf`, the tokenizer, the generation config and the thought parts.
    The two thought vectors are rows of the file's embedding as well. A quantised file has the input
    embedding in 16 bits, so that they stay exact.

    Args:
        model: with weights that are not quantised.
        directory: must not exist, or be empty.
        kind: of the weights, one of `GGUF_TYPES`.

    Raises:
        CheckpointError: the directory is not empty or cannot be written, or the model cannot be
            written as GGUF.
        ConfigError: see `check_type`.
    """
    check_type(kind)
    check_writable(model)
    target = Path(directory).expanduser()
    check_empty(target)
    temporary = make_sibling(target)
    advice = "Free space there, or give another directory. Nothing was written."
    try:
        with third_party(str(target), advice, done="written"):
            _write_file(model, temporary / MODEL_FILE, kind)
            model.tokenizer.save_pretrained(temporary)
            if model.backbone.generation_config is not None:
                model.backbone.generation_config.save_pretrained(temporary)
            if model.can_think:
                write_thought_parts(model, temporary)
            share_files(temporary)
        move_into_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_file(model: QuietStarModel, path: Path, kind: str) -> None:
    if kind in FLOAT_TYPES:
        write_gguf(model, path, dtype=FLOAT_TYPES[kind])
        return
    whole = path.with_suffix(".whole")
    write_gguf(model, whole, dtype=model.dtype, unties=True)
    _quantise(whole, path, kind)
    whole.unlink()


def _quantise(source: Path, target: Path, kind: str) -> None:
    library = llama_cpp()
    params = library.llama_model_quantize_default_params()
    params.ftype = QUANTISED_TYPES[kind]
    params.token_embedding_type = _F16
    params.nthread = torch.get_num_threads()
    status = library.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if status != 0:
        raise CheckpointError(f"llama.cpp could not quantise the model to {kind} ({status}).")
