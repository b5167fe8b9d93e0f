"""`load_model`: one entry for every kind of checkpoint, and for the default model."""

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from qstar_infer.checkpoint.default import default_model_directory
from qstar_infer.checkpoint.load_source import load_source, load_source_tokenizer, name_model
from qstar_infer.checkpoint.options import BITSANDBYTES, LoadOptions, Overrides
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.checkpoint.reading import is_out_of_memory
from qstar_infer.engine_args import EngineArgs, ThoughtVectors
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel


def load_model(
    source: str | Path | None = None,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: str = "none",
    num_thought_tokens: int | None = None,
    thought_vectors: ThoughtVectors = "kept",
    tokenizer: str | Path | None = None,
    ignore_thought_parts: bool = False,
    revision: str | None = None,
) -> QuietStarModel:
    """Load a model that thinks, or a plain language model; the kind is read from its files.

    Args:
        source: "lab" for the packaged lab model, a directory (native, adapter, published or plain),
            a `.gguf` file or a directory with one, a hub id `org/name`, or None for the default
            model.
        dtype: "auto" (the checkpoint's own; float32 on a CPU without fast bfloat16), "stored" (the
            checkpoint's own on every machine), "float32", "bfloat16", "float16", or a torch dtype.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:N", or such a torch device.
        quantization: "none"; "int8" or "nf4", by bitsandbytes; "int8-cpu" or "int4-cpu", without
            it. Thought parts and the output embedding are never quantised.
        num_thought_tokens: overrides the checkpoint's thought length.
        thought_vectors: "kept", or "literal" to feed what the published evaluation script feeds;
            published checkpoints only.
        tokenizer: a directory or a hub id, whose tokenizer is used instead of the checkpoint's own;
            for checkpoints that are published without one.
        ignore_thought_parts: load the plain language model that the checkpoint thinks with.
        revision: a branch, tag or commit; hub repositories only.

    Returns:
        The model in eval mode. `thought_parts` is None if the checkpoint has none, else float32.

    Raises:
        CheckpointError: the checkpoint is missing, malformed, unsafe or cannot think.
        ConfigError: an argument is wrong or does not apply to this checkpoint.
    """
    options = LoadOptions.resolve(dtype=dtype, device=device, quantization=quantization)
    overrides = Overrides(
        num_thought_tokens=num_thought_tokens,
        thought_vectors=thought_vectors,
        tokenizer=tokenizer,
        ignore_thought_parts=ignore_thought_parts,
    )
    return _load(source, options, overrides, revision=revision)


def load_from_args(args: EngineArgs) -> QuietStarModel:
    """Load the model that the settings name, for an engine.

    An engine has fast kernels for 16-bit weights on every CPU, so its "auto" is the stored dtype;
    but bitsandbytes computes in the dtype that it is given, and so do the ranks of tensor
    parallelism. Each of these loads its shard; they have joined a process group.

    Raises:
        CheckpointError, ConfigError: as `load_model`.
    """
    has_kernels = args.quantization not in BITSANDBYTES and args.tensor_parallel_size == 1
    is_stored = args.dtype == "auto" and has_kernels
    options = LoadOptions.resolve(
        dtype="stored" if is_stored else args.dtype,
        device=args.device,
        quantization=args.quantization,
        num_ranks=args.tensor_parallel_size,
    )
    overrides = Overrides(
        num_thought_tokens=args.num_thought_tokens,
        thought_vectors=args.thought_vectors,
        tokenizer=args.tokenizer,
        ignore_thought_parts=args.ignore_thought_parts,
    )
    return _load(args.model, options, overrides, revision=args.revision)


def load_tokenizer_of(source: str | Path | None) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `load_model` loads, without the weights.

    Raises:
        CheckpointError: the checkpoint, an adapter's base or the tokenizer is missing or malformed.
    """
    return load_source_tokenizer(default_model_directory() if source is None else source)


def _load(
    source: str | Path | None, options: LoadOptions, overrides: Overrides, *, revision: str | None
) -> QuietStarModel:
    if source is not None:
        return load_source(source, options, overrides=overrides, revision=revision)
    if revision is not None:
        raise ConfigError(
            f"revision={revision!r} was given without a model, but the default model is part "
            "of this package. Leave it out, or name a hub repository."
        )
    return _load_default(options, overrides)


def _load_default(options: LoadOptions, overrides: Overrides) -> QuietStarModel:
    directory = default_model_directory()
    try:
        model = load_source(directory, options, overrides=overrides)
    except CheckpointError as error:
        if is_out_of_memory(error.__cause__):
            raise  # deleting the files would not help
        raise CheckpointError(
            f"The default model's cache is damaged: {error} "
            f"Delete {directory}; it will be built again."
        ) from error
    name_model(model, BASE_MODEL)
    return model
