"""`load_model`: one entry for every kind of checkpoint."""

import dataclasses
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.adapter import base_of_adapter, merge_adapter
from qstar_infer.checkpoint.backbone import (
    hidden_size,
    load_backbone,
    load_gguf_backbone,
    read_config,
)
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, read_native, require_delimiters
from qstar_infer.checkpoint.options import LoadOptions, require_thought_length
from qstar_infer.checkpoint.packaged_base import BASE_MODEL, base_source
from qstar_infer.checkpoint.published import ThoughtVectors, load_published
from qstar_infer.checkpoint.reading import is_out_of_memory
from qstar_infer.checkpoint.source import (
    Source,
    SourceKind,
    find_source,
)
from qstar_infer.checkpoint.tokenizer import (
    has_tokenizer,
    load_gguf_tokenizer,
    load_tokenizer,
    require_fit,
)
from qstar_infer.engine_args import THOUGHT_VECTORS, EngineArgs
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.config import QuietStarConfig
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
        dtype: "auto" (the checkpoint's own; float32 on a CPU without fast bfloat16), "stored" (the
            checkpoint's own on every machine), "float32", "bfloat16", "float16", or a torch dtype.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:N", or such a torch device.
        quantization: "none", "int8" or "nf4", by bitsandbytes; thought parts and the output
            embedding are never quantised.
        num_thought_tokens: overrides the checkpoint's thought length.
        thought_vectors: "kept", or "literal" to feed what the published evaluation script feeds;
            published checkpoints only.
        revision: a branch, tag or commit; hub repositories only.

    Returns:
        The model in eval mode; `thought_parts` is None where the checkpoint has none. Thought
        parts are float32.

    Raises:
        CheckpointError: the checkpoint is missing, malformed, unsafe or cannot think.
        ConfigError: an argument is wrong or does not apply to this checkpoint.
    """
    options = LoadOptions.resolve(dtype=dtype, device=device, quantization=quantization)
    if source is not None:
        return _load_named(
            source,
            options,
            num_thought_tokens=num_thought_tokens,
            thought_vectors=thought_vectors,
            revision=revision,
        )
    if revision is not None:
        raise ConfigError(
            f"revision={revision!r} was given without a model; the default model comes with this "
            "program. Leave it out, or name a hub repository."
        )
    from qstar_infer.checkpoint import default  # it loads its base from here

    directory = default.default_model_directory()
    try:
        model = _load_named(
            directory,
            options,
            num_thought_tokens=num_thought_tokens,
            thought_vectors=thought_vectors,
        )
    except CheckpointError as error:
        if is_out_of_memory(error.__cause__):
            raise  # the files are whole, and their deletion would not help
        raise CheckpointError(
            f"The default model's cache is damaged: {error} "
            f"Delete {directory} and it will be built again."
        ) from error
    _name_model(model, BASE_MODEL)
    return model


def load_from_args(args: EngineArgs) -> QuietStarModel:
    """The model that the engine's settings name, loaded as they say.

    Raises:
        CheckpointError, ConfigError: as `load_model`.
    """
    return load_model(
        args.model,
        dtype=args.dtype,
        device=args.device,
        quantization=args.quantization,
        num_thought_tokens=args.num_thought_tokens,
        thought_vectors=args.thought_vectors,  # type: ignore[arg-type]  # EngineArgs checks it
        revision=args.revision,
    )


def find_base(adapter: Source) -> Source:
    """The plain language model under an adapter, found and not yet loaded.

    Raises:
        CheckpointError: it is not to be found, or is itself an adapter or has thought parts.
    """
    base, revision = base_of_adapter(adapter.directory)
    if base == BASE_MODEL and revision is None:
        base = base_source()  # adapters for the default model's base are trained on that file
    found = find_source(base, revision=revision)
    if found.kind not in (SourceKind.PLAIN, SourceKind.GGUF) or found.is_adapter:
        raise CheckpointError(
            f"The adapter in {adapter.label} names the base {base}, which is itself an adapter or "
            "has thought parts. Name the plain language model it was trained on."
        )
    return found


def load_tokenizer_of(source: str | Path | None) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `load_model` loads, without its weights.

    Args:
        source: as `load_model` takes it.

    Raises:
        CheckpointError: the checkpoint, an adapter's base or the tokenizer is missing or malformed.
    """
    if source is None:
        from qstar_infer.checkpoint import default  # it loads its base from here

        source = default.default_model_directory()
    found = find_source(source)
    if found.is_adapter and not has_tokenizer(found.directory):
        found = find_base(found)
    if found.gguf_file is not None:
        return load_gguf_tokenizer(found.directory / found.gguf_file)
    if not found.is_adapter and found.kind is not SourceKind.PUBLISHED:
        read_config(found.directory)  # refuses before the tokenizer's loader reads it as well
    return load_tokenizer(found.directory)


def _load_named(
    source: str | Path,
    options: LoadOptions,
    *,
    num_thought_tokens: int | None = None,
    thought_vectors: ThoughtVectors = "kept",
    revision: str | None = None,
) -> QuietStarModel:
    """As `load_model`, for a named source and resolved options."""
    _require_arguments(num_thought_tokens, thought_vectors)
    found = find_source(source, revision=revision)
    _require_applicable(found, num_thought_tokens, thought_vectors)
    if found.kind is SourceKind.PUBLISHED:
        model = load_published(
            found.directory,
            options,
            num_thought_tokens=num_thought_tokens,
            thought_vectors=thought_vectors,
        )
    else:
        model = _load_ours_or_plain(found, options, num_thought_tokens)
    _name_model(model, found.label)
    if found.revision is not None:
        model.backbone.config._commit_hash = found.revision
    if model.thought_parts is not None:
        model.thought_parts.to(options.device)
    return model.eval()


def _name_model(model: QuietStarModel, label: str) -> None:
    """Start-up lines and saved configs name the model as its user does, not a cache directory."""
    model.backbone.name_or_path = label
    model.backbone.config.name_or_path = label


def _load_ours_or_plain(
    found: Source, options: LoadOptions, num_thought_tokens: int | None
) -> QuietStarModel:
    backbone, tokenizer = _load_backbone_and_tokenizer(found, options)
    require_fit(tokenizer, backbone, found.label)
    if found.kind is not SourceKind.NATIVE:
        return QuietStarModel(backbone, tokenizer)
    config, parts = read_native(found.directory, hidden=hidden_size(backbone))
    config = _overridden(config, num_thought_tokens)
    require_delimiters(config, backbone, tokenizer, found.directory / QUIET_STAR_JSON)
    return QuietStarModel(backbone, tokenizer, thought_parts=parts, config=config)


def _load_backbone_and_tokenizer(
    found: Source, options: LoadOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if found.gguf_file is not None:
        path = found.directory / found.gguf_file
        tokenizer = load_gguf_tokenizer(path)
        backbone = load_gguf_backbone(path, options)
        # Older versions of transformers read the file's end-of-sequence id for the model alone.
        eos_token_id = backbone.config.eos_token_id
        if isinstance(eos_token_id, int):
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos_token_id)
        return backbone, tokenizer
    if found.is_adapter:
        return _load_adapted(found, options)
    config = read_config(found.directory)  # refuses before the tokenizer's loader reads it as well
    tokenizer = load_tokenizer(found.directory)
    return load_backbone(found.directory, config, options), tokenizer


def _load_adapted(
    found: Source, options: LoadOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base an adapter names, with the adapter merged in."""
    if options.quantization != "none":
        raise ConfigError(
            f"quantization={options.quantization!r} with an adapter would merge into rounded "
            f"weights. Run `qstar convert {found.label} DST` first and load DST quantised."
        )
    backbone, tokenizer = _load_backbone_and_tokenizer(find_base(found), options)
    if has_tokenizer(found.directory):
        tokenizer = load_tokenizer(found.directory)
    return merge_adapter(backbone, found.directory), tokenizer


def _overridden(config: QuietStarConfig, num_thought_tokens: int | None) -> QuietStarConfig:
    if num_thought_tokens is None or num_thought_tokens == config.num_thought_tokens:
        return config
    note = (
        f"num_thought_tokens = {num_thought_tokens} was given by the caller; the checkpoint has "
        f"{config.num_thought_tokens}."
    )
    return dataclasses.replace(
        config, num_thought_tokens=num_thought_tokens, notes=[*config.notes, note]
    )


def _require_arguments(num_thought_tokens: int | None, thought_vectors: str) -> None:
    if thought_vectors not in THOUGHT_VECTORS:
        raise ConfigError(
            f"thought_vectors={thought_vectors!r} is unknown; use one of "
            f"{', '.join(THOUGHT_VECTORS)}."
        )
    if num_thought_tokens is not None:
        require_thought_length(num_thought_tokens)


def _require_applicable(
    found: Source, num_thought_tokens: int | None, thought_vectors: str
) -> None:
    if thought_vectors == "literal" and found.kind is not SourceKind.PUBLISHED:
        raise ConfigError(
            "thought_vectors='literal' only makes sense for a published checkpoint, and "
            f"{found.label} is {found.kind.value}. Leave it out."
        )
    if num_thought_tokens is not None and found.kind in (SourceKind.PLAIN, SourceKind.GGUF):
        raise ConfigError(
            f"num_thought_tokens={num_thought_tokens} was given, but {found.label} has no thought "
            "parts and cannot think. Give it some with `qstar init`, or leave the option out."
        )
