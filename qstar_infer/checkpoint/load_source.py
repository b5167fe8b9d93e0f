"""Loads a named source: a directory, a `.gguf` file or a hub id, of any kind of checkpoint."""

import dataclasses
from pathlib import Path
from typing import get_args

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.adapter.config import base_of_adapter
from qstar_infer.checkpoint.adapter.merge import merge_adapter
from qstar_infer.checkpoint.backbone import (
    hidden_size,
    load_backbone,
    read_config,
)
from qstar_infer.checkpoint.gguf.backbone import load_gguf_backbone
from qstar_infer.checkpoint.gguf.tokenizer import load_gguf_tokenizer
from qstar_infer.checkpoint.layouts.reference import load_published
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, check_delimiters, read_native
from qstar_infer.checkpoint.options import LoadOptions, check_thought_length
from qstar_infer.checkpoint.packaged_base import BASE_MODEL, base_source
from qstar_infer.checkpoint.source import (
    Source,
    SourceKind,
    find_source,
)
from qstar_infer.checkpoint.tokenizer import (
    check_tokenizer_fits,
    has_tokenizer,
    load_tokenizer,
)
from qstar_infer.engine_args import ThoughtVectors
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel


def load_source(
    source: str | Path,
    options: LoadOptions,
    *,
    num_thought_tokens: int | None = None,
    thought_vectors: ThoughtVectors = "kept",
    revision: str | None = None,
) -> QuietStarModel:
    """Load a model by name; `load_model` also loads the default model.

    Args:
        source: a directory, a `.gguf` file or a hub id.
        options: dtype, device, quantization.
        num_thought_tokens, thought_vectors, revision: as for `load_model`.

    Raises:
        CheckpointError, ConfigError: as `load_model`.
    """
    if thought_vectors not in get_args(ThoughtVectors):
        raise ConfigError(
            f"thought_vectors={thought_vectors!r} is unknown; use one of "
            f"{', '.join(get_args(ThoughtVectors))}."
        )
    if num_thought_tokens is not None:
        check_thought_length(num_thought_tokens)
    found = find_source(source, revision=revision)
    _check_applicable(found, num_thought_tokens, thought_vectors)
    if found.kind is SourceKind.PUBLISHED:
        model = load_published(
            found.directory,
            options,
            num_thought_tokens=num_thought_tokens,
            thought_vectors=thought_vectors,
        )
    else:
        model = _load_ours_or_plain(found, options, num_thought_tokens)
    name_model(model, found.label)
    if found.revision is not None:
        model.backbone.config._commit_hash = found.revision
    if model.thought_parts is not None:
        model.thought_parts.to(options.device)
    return model.eval()


def load_source_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `load_source` loads, without the weights.

    Raises:
        CheckpointError: the checkpoint, an adapter's base or the tokenizer is missing or malformed.
    """
    found = find_source(source)
    if found.is_adapter and not has_tokenizer(found.directory):
        found = find_base(found)
    if found.gguf_file is not None:
        return load_gguf_tokenizer(found.directory / found.gguf_file)
    if not found.is_adapter and found.kind is not SourceKind.PUBLISHED:
        read_config(found.directory)  # its checks come before the tokenizer's loader reads it
    return load_tokenizer(found.directory)


def find_base(adapter: Source) -> Source:
    """Find the base model of an adapter, without loading it.

    Raises:
        CheckpointError: it is not found, is itself an adapter, or has thought parts.
    """
    base, revision = base_of_adapter(adapter.directory)
    if base == BASE_MODEL and revision is None:
        base = base_source()  # the file that adapters of the default model's base are trained on
    found = find_source(base, revision=revision)
    if found.kind not in (SourceKind.PLAIN, SourceKind.GGUF) or found.is_adapter:
        raise CheckpointError(
            f"The adapter in {adapter.label} names the base {base}, which is itself an adapter or "
            "has thought parts. Name the plain language model it was trained on."
        )
    return found


def name_model(model: QuietStarModel, label: str) -> None:
    """Give the model the name that its user knows, for start-up lines and saved configs."""
    model.backbone.name_or_path = label
    model.backbone.config.name_or_path = label


def _load_ours_or_plain(
    found: Source, options: LoadOptions, num_thought_tokens: int | None
) -> QuietStarModel:
    backbone, tokenizer = _load_backbone_and_tokenizer(found, options)
    check_tokenizer_fits(tokenizer, backbone, found.label)
    if found.kind is not SourceKind.NATIVE:
        return QuietStarModel(backbone, tokenizer)
    config, parts = read_native(found.directory, hidden=hidden_size(backbone))
    config = _overridden(config, num_thought_tokens)
    check_delimiters(config, backbone, tokenizer, found.directory / QUIET_STAR_JSON)
    return QuietStarModel(backbone, tokenizer, thought_parts=parts, config=config)


def _load_backbone_and_tokenizer(
    found: Source, options: LoadOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if found.gguf_file is not None:
        path = found.directory / found.gguf_file
        tokenizer = load_gguf_tokenizer(path)
        backbone = load_gguf_backbone(path, options)
        # Older versions of transformers set the file's end-of-sequence id on the model only.
        eos_token_id = backbone.config.eos_token_id
        if isinstance(eos_token_id, int):
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos_token_id)
        return backbone, tokenizer
    if found.is_adapter:
        return _load_adapted(found, options)
    config = read_config(found.directory)  # its checks come before the tokenizer's loader reads it
    tokenizer = load_tokenizer(found.directory)
    return load_backbone(found.directory, config, options), tokenizer


def _load_adapted(
    found: Source, options: LoadOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with the adapter merged into it."""
    if options.quantization != "none":
        raise ConfigError(
            f"quantization={options.quantization!r} would merge the adapter into rounded "
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


def _check_applicable(found: Source, num_thought_tokens: int | None, thought_vectors: str) -> None:
    if thought_vectors == "literal" and found.kind is not SourceKind.PUBLISHED:
        raise ConfigError(
            "thought_vectors='literal' applies only to published checkpoints, and "
            f"{found.label} is {found.kind.value}. Leave it out."
        )
    if num_thought_tokens is not None and found.kind in (SourceKind.PLAIN, SourceKind.GGUF):
        raise ConfigError(
            f"num_thought_tokens={num_thought_tokens} was given, but {found.label} has no thought "
            "parts and cannot think. Add them with `qstar init`, or leave the option out."
        )
