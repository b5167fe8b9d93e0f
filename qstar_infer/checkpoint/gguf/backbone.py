"""Builds the backbone from a GGUF file."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.gguf.file import read_gguf
from qstar_infer.checkpoint.gguf.own_blocks import keep_own_blocks
from qstar_infer.checkpoint.gguf.tensors import model_class
from qstar_infer.checkpoint.gguf.weights import read_weights
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import ConfigError


def load_gguf_backbone(path: Path, options: LoadOptions) -> PreTrainedModel:
    """A stock model from a GGUF file. Other files in its directory are ignored.

    It is dequantised, except that "int4-cpu" keeps the file's own 4-bit blocks.

    Its stored dtype counts as bfloat16: a GGUF file names no dtype to compute in, and its quantised
    weights have no more precision than that.

    Raises:
        CheckpointError: not GGUF, damaged, incomplete, of an architecture that is not supported, or
            with a key or tensor that cannot be honoured.
        ConfigError: bitsandbytes cannot quantise the dequantised weights.
    """
    if options.uses_bitsandbytes:
        raise ConfigError(
            f"quantization={options.quantization!r} cannot be applied to {path.name}, which is "
            "dequantised when it is read. Run `qstar convert` on it first and load the result."
        )
    file = read_gguf(path)
    config = file.config
    dtype = torch.bfloat16 if options.dtype is None else options.dtype
    with third_party(f"The GGUF file {path}", "Use the original checkpoint, in safetensors."):
        weights = read_weights(file, dtype=dtype)
        backbone: PreTrainedModel = model_class(config).from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype
        )

    if backbone.generation_config is not None and len(file.end_ids) > 1:
        backbone.generation_config.eos_token_id = file.end_ids
    backbone.to(options.device)  # type: ignore[arg-type]  # wrapped method
    finish(backbone)
    if options.quantization == "int4-cpu":
        keep_own_blocks(backbone, file)
    return backbone
