"""`load_model`: one entry for every kind of checkpoint."""

import dataclasses
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.adapter import base_of_adapter, merge_adapter
from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.backbone import (
    hidden_size,
    load_backbone,
    load_gguf_backbone,
    read_config,
)
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, read_native
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.published import ThoughtVectors, load_published
from qstar_infer.checkpoint.source import (
    Source,
    SourceKind,
    find_source,
)
from qstar_infer.checkpoint.tokenizer import (
    END_TOKEN,
    START_TOKEN,
    delimiter_ids,
    has_tokenizer,
    load_tokenizer,
    require_fit,
)
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel

THOUGHT_VECTORS = ("kept", "literal")


def load_checkpoint(
    source: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: str = "none",
    num_thought_tokens: int | None = None,
    thought_vectors: ThoughtVectors = "kept",
    revision: str | None = None,
) -> QuietStarModel:
    """As `load_model`, for a named source."""
    options = LoadOptions.resolve(dtype=dtype, device=device, quantization=quantization)
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
    name_model(model, found.label)
    if found.revision is not None:
        model.backbone.config._commit_hash = found.revision
    if model.thought_parts is not None:
        model.thought_parts.to(options.device)
    return model.eval()


def name_model(model: QuietStarModel, label: str) -> None:
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
    _require_delimiters(config, backbone, tokenizer, found.directory / QUIET_STAR_JSON)
    return QuietStarModel(backbone, tokenizer, thought_parts=parts, config=config)


def _load_backbone_and_tokenizer(
    found: Source, options: LoadOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if found.gguf_file is not None:
        tokenizer = load_tokenizer(found.directory, gguf_file=found.gguf_file)
        return load_gguf_backbone(found.directory, found.gguf_file, options), tokenizer
    if found.is_adapter:
        return _load_adapted(found, options)
    read_config(found.directory)  # refuses before the tokenizer's loader reads it as well
    tokenizer = load_tokenizer(found.directory)
    return load_backbone(found.directory, options), tokenizer


def _load_adapted(
    found: Source, options: LoadOptions
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base an adapter names, with the adapter merged in."""
    if options.quantization != "none":
        raise ConfigError(
            f"quantization={options.quantization!r} with an adapter would merge into rounded "
            f"weights. Run `qstar convert {found.label} DST` first and load DST quantised."
        )
    base, revision = base_of_adapter(found.directory)
    base_source = find_source(base, revision=revision)
    if base_source.kind not in (SourceKind.PLAIN, SourceKind.GGUF) or base_source.is_adapter:
        raise CheckpointError(
            f"The adapter in {found.label} names the base {base}, which is itself an adapter or "
            "has thought parts. Name the plain language model it was trained on."
        )
    backbone, tokenizer = _load_backbone_and_tokenizer(base_source, options)
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
    if num_thought_tokens is not None and num_thought_tokens < 1:
        raise ConfigError(
            f"num_thought_tokens={num_thought_tokens} must be at least 1. To serve without "
            "thinking, ask for 0 in a request instead."
        )


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


def _require_delimiters(
    config: QuietStarConfig,
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
) -> None:
    """A delimiter that is not recorded could be emitted, so both are, or the vocabulary has none.

    Args:
        config: what `path` holds.
        backbone: its embedding has a row for each id.
        tokenizer: may know the delimiters by name.
        path: the `quiet_star.json`.
    """
    start_id, end_id = config.start_thought_token_id, config.end_thought_token_id
    known = delimiter_ids(tokenizer)
    if (start_id is None) != (end_id is None):
        raise CheckpointError(
            f"{path} has start_thought_token_id = {start_id} and end_thought_token_id = {end_id}: "
            "give the ids of both delimiters, or null for both where the vocabulary has none."
        )
    if start_id is None and None not in known:
        raise CheckpointError(
            f"{path} has no delimiter ids, but the tokenizer knows {START_TOKEN} as {known[0]} and "
            f"{END_TOKEN} as {known[1]}, so a delimiter could be emitted. Set "
            f"start_thought_token_id to {known[0]} and end_thought_token_id to {known[1]}."
        )
    if start_id is not None and start_id == end_id:
        raise CheckpointError(
            f"{path} has the same id, {start_id}, for both delimiters. Correct "
            "start_thought_token_id or end_thought_token_id."
        )
    rows = embedding_table(backbone).shape[0]
    for token_id in config.delimiter_ids:
        if token_id >= rows:
            raise CheckpointError(
                f"{path} has the delimiter id {token_id}, but the embedding has only {rows} rows. "
                "Correct the file or use its own backbone."
            )
