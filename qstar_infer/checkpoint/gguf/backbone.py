"""Builds the backbone from a GGUF file."""

from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from qstar_infer.checkpoint.architecture import check_supported_config
from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.gguf.architectures import (
    Architecture,
    read_architecture,
    read_config,
)
from qstar_infer.checkpoint.gguf.header import GgufHeader, read_header
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.gguf.weights import match_tensors, model_class, read_weights
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import ConfigError


def load_gguf_backbone(path: Path, options: LoadOptions) -> PreTrainedModel:
    """A stock model from a GGUF file, dequantised. Other files in its directory are ignored.

    Its stored dtype counts as bfloat16: a GGUF file names no dtype to compute in, and its quantised
    weights have no more precision than that.

    Raises:
        CheckpointError: not GGUF, damaged, incomplete, of an architecture that is not supported, or
            with a key or tensor that cannot be honoured.
        ConfigError: `quantization` was given; the file has its own.
    """
    if options.quantization != "none":
        raise ConfigError(
            f"quantization={options.quantization!r} cannot be applied to {path.name}, which is "
            "dequantised when it is read. Run `qstar convert` on it first and load the result."
        )
    header = read_header(path)
    architecture, config = check_gguf(header)
    matched = match_tensors(header, config)
    dtype = torch.bfloat16 if options.dtype is None else options.dtype
    with third_party(f"The GGUF file {path}", "Use the original checkpoint, in safetensors."):
        weights = read_weights(header, architecture, matched, config=config, dtype=dtype)
        backbone: PreTrainedModel = model_class(config).from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype
        )
    backbone.to(options.device)  # type: ignore[arg-type]  # wrapped method
    return finish(backbone)


def check_gguf(header: GgufHeader) -> tuple[Architecture, PreTrainedConfig]:
    """The architecture and the config of a file, after a check of all its keys."""
    architecture = read_architecture(header)
    keys = KeyReader(header)
    config = read_config(keys, architecture)
    check_supported_config(config)
    for name in header.keys:
        if name.startswith("tokenizer."):
            keys.inventory.used.add(name)
    keys.account_for_the_rest()
    return architecture, config
