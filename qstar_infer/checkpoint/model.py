"""`load_model`: a named checkpoint, or the default model."""

from pathlib import Path

import torch

from qstar_infer.checkpoint.default import BASE_MODEL, default_model_directory
from qstar_infer.checkpoint.load import load_checkpoint, name_model
from qstar_infer.checkpoint.published import ThoughtVectors
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel


def load_model(
    source: str | Path | None = None,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: str = "none",
    num_thought_tokens: int | None = None,
    thought_vectors: ThoughtVectors = "kept",
    revision: str | None = None,
) -> QuietStarModel:
    """Load a model that thinks, or a plain language model, telling by looking what `source` is.

    Args:
        source: a directory (native, adapter, published or plain), a `.gguf` file or a directory
            with one, a hub id `org/name`, or None for the default model.
        dtype: "auto" (the checkpoint's), "float32", "bfloat16", "float16", or a torch dtype.
        device: "auto" (CUDA where there is one), or a torch device.
        quantization: "none", "int8" or "nf4", by bitsandbytes; thought parts and the output
            embedding are never quantised.
        num_thought_tokens: overrides the checkpoint's thought length.
        thought_vectors: "kept", or "literal" to feed what the published evaluation script feeds;
            published checkpoints only.
        revision: a branch, tag or commit of a hub repository.

    Returns:
        The model in eval mode; `thought_parts` is None where the checkpoint has none. Thought
        parts are float32.

    Raises:
        CheckpointError: the checkpoint is missing, malformed, unsafe or cannot think.
        ConfigError: an argument is wrong or does not apply to this checkpoint.
    """
    is_default = source is None
    directory = default_model_directory() if source is None else source
    try:
        model = load_checkpoint(
            directory,
            dtype=dtype,
            device=device,
            quantization=quantization,
            num_thought_tokens=num_thought_tokens,
            thought_vectors=thought_vectors,
            revision=revision,
        )
    except CheckpointError as error:
        if not is_default:
            raise
        raise CheckpointError(
            f"The default model's cache is damaged: {error} "
            f"Delete {directory} and it will be built again."
        ) from error
    if is_default:
        name_model(model, BASE_MODEL)
    return model
