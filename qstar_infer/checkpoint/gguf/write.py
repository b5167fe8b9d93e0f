"""Writes a model as a GGUF file for llama.cpp: in 32 or 16 bits, its thought vectors included."""

from pathlib import Path

import gguf
import numpy as np
import torch
from torch import Tensor

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.gguf.architectures import (
    ARCHITECTURES,
    EMBEDDING,
    OUTPUT,
    Architecture,
    stored,
)
from qstar_infer.checkpoint.gguf.rope import FREQ_FACTORS
from qstar_infer.checkpoint.gguf.tensors import names_in_file
from qstar_infer.checkpoint.gguf.write_keys import add_keys, frequency_factors
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel

_WRITABLE = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""Model type of transformers -> architecture of the file."""
_TYPES = {
    torch.float32: gguf.GGMLQuantizationType.F32,
    torch.float16: gguf.GGMLQuantizationType.F16,
    torch.bfloat16: gguf.GGMLQuantizationType.BF16,
}


def check_writable(model: QuietStarModel) -> None:
    """Check that a model can be written as a GGUF file.

    Raises:
        CheckpointError: it cannot: its architecture, a sliding window, or quantised weights.
    """
    config = model.backbone.config
    if config.model_type not in _WRITABLE:
        raise CheckpointError(
            f"A model of the type {config.model_type!r} cannot be written as GGUF; only "
            f"{', '.join(_WRITABLE)} can. Use the torch runner."
        )
    if any(shape.window is not None for shape in model.layer_shapes):
        raise CheckpointError(
            "This model has a sliding window, and thoughts over llama.cpp's windowed cache are not "
            "supported. Use the torch runner."
        )
    if getattr(model.backbone, "is_quantized", False):
        raise CheckpointError(
            "A quantised model cannot be written as GGUF: its weights are rounded. Load it with "
            "quantization='none'."
        )


def write_gguf(
    model: QuietStarModel, path: Path, *, dtype: torch.dtype, unties: bool = False
) -> None:
    """Write backbone and vocabulary, and the thought vectors as two more rows of the embedding.

    llama.cpp takes token ids or embeddings in one batch, not both; so the two vectors have ids,
    `vocab_size` and `vocab_size + 1`. No text has these ids, and they are never sampled.

    Args:
        path: the file to write.
        dtype: of the matrices. Vectors, such as norms and biases, are float32.
        unties: whether to write tied embeddings twice, so that the output can be quantised while
            the input keeps its precision.

    Raises:
        CheckpointError: the model cannot be written; see `check_writable`.
    """
    check_writable(model)
    config = model.backbone.config
    name = _WRITABLE[config.model_type]
    architecture = ARCHITECTURES[name]
    writer = gguf.GGUFWriter(path, name)
    add_keys(writer, model, unties=unties)
    factors = frequency_factors(model)
    if factors is not None:
        writer.add_tensor(FREQ_FACTORS, factors)
    names = names_in_file(name, config.num_hidden_layers)
    for parameter, weight in model.backbone.named_parameters():
        _add_tensor(writer, model, architecture, names(parameter), weight, dtype)
    if unties and config.tie_word_embeddings:
        embedding = embedding_table(model.backbone)
        _add_tensor(writer, model, architecture, OUTPUT, embedding, dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensor(
    writer: gguf.GGUFWriter,
    model: QuietStarModel,
    architecture: Architecture,
    name: str,
    weight: Tensor,
    dtype: torch.dtype,
) -> None:
    values = weight.detach().float().cpu()
    if name in (EMBEDDING, OUTPUT):
        values = torch.cat([values, _vector_rows(model, name)])
    array = stored(architecture, name, weights=values.numpy(), config=model.backbone.config)
    kind = _TYPES[dtype] if array.ndim > 1 else gguf.GGMLQuantizationType.F32
    writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)


def _vector_rows(model: QuietStarModel, name: str) -> Tensor:
    """The rows for the two vectors, `[2, hidden]`; none for a model that cannot think.

    Where input and output share a tensor, their logits are meaningless. In an output of its own
    the rows are zeros.
    """
    parts = model.thought_parts
    if parts is None:
        return torch.empty(0, model.hidden_size)
    if name == OUTPUT:
        return torch.zeros(2, model.hidden_size)
    return torch.stack([parts.start_thought, parts.end_thought]).detach().float().cpu()
