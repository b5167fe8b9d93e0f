"""Loads a named source: a directory, a `.gguf` file or a hub id, of any kind of checkpoint."""

import dataclasses
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.adapter.config import base_of_adapter
from qstar_infer.checkpoint.backbone import (
    hidden_size,
    load_backbone,
    read_config,
)
from qstar_infer.checkpoint.gguf.backbone import load_gguf_backbone
from qstar_infer.checkpoint.gguf.beside import generation_config_beside, tokenizer_beside
from qstar_infer.checkpoint.gguf.tokenizer import load_gguf_tokenizer
from qstar_infer.checkpoint.layouts.find import own_names
from qstar_infer.checkpoint.layouts.layout import OwnNames
from qstar_infer.checkpoint.layouts.load import load_with_layout
from qstar_infer.checkpoint.native import (
    QUIET_STAR_JSON,
    check_delimiters,
    check_thinking,
    read_native,
)
from qstar_infer.checkpoint.options import NO_OVERRIDES, LoadOptions, Overrides, check_length_fits
from qstar_infer.checkpoint.packaged_base import BASE_MODEL, base_source
from qstar_infer.checkpoint.sharding import shard
from qstar_infer.checkpoint.source import (
    Source,
    SourceKind,
    find_source,
    find_tokenizer,
)
from qstar_infer.checkpoint.tokenizer import (
    check_tokenizer_fits,
    has_tokenizer,
    load_tokenizer,
)
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.kernels.quantised_linear import quantise_layers
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel


def load_source(
    source: str | Path,
    options: LoadOptions,
    *,
    overrides: Overrides = NO_OVERRIDES,
    revision: str | None = None,
) -> QuietStarModel:
    """Load a model by name; `load_model` also loads the default model.

    Args:
        source: "lab", a directory, a `.gguf` file or a hub id.
        options: dtype, device, quantization.
        overrides: what is used in place of what the checkpoint says.
        revision: as for `load_model`.

    Raises:
        CheckpointError, ConfigError: as `load_model`.
    """
    found = find_source(source, revision=revision)
    _check_applicable(found, overrides)
    tokenizer = None if overrides.tokenizer is None else find_tokenizer(overrides.tokenizer)
    if found.kind is SourceKind.PUBLISHED and not overrides.ignore_thought_parts:
        model = load_with_layout(found.directory, options, overrides=overrides, tokenizer=tokenizer)
    else:
        model = _load_ours_or_plain(found, options, overrides=overrides, tokenizer=tokenizer)
    if model.config is not None:
        length = model.config.num_thought_tokens
        check_length_fits(length, model.backbone.config, found.label)
    name_model(model, found.label)
    if found.revision is not None:
        model.backbone.config._commit_hash = found.revision
    if model.thought_parts is not None:
        model.thought_parts.to(options.device)
    if options.rounds_on_cpu:
        # The output embedding mixes two hidden states: it stays as it is.
        kept = [model.backbone.lm_head]
        quantise_layers(model.backbone, options.quantization, kept=kept)
        model.backbone.is_quantized = True  # type: ignore[assignment]  # as transformers names it
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
    found: Source, options: LoadOptions, *, overrides: Overrides, tokenizer: Path | None
) -> QuietStarModel:
    backbone, text = _load_backbone_and_tokenizer(found, options, tokenizer=tokenizer)
    check_tokenizer_fits(text, backbone, found.label)
    if found.kind is not SourceKind.NATIVE or overrides.ignore_thought_parts:
        return QuietStarModel(backbone, text)
    config, parts = read_native(found.directory, hidden=hidden_size(backbone))
    config = overridden(config, overrides.num_thought_tokens)
    check_delimiters(config, backbone, text, found.directory / QUIET_STAR_JSON)
    check_thinking(config, backbone, text, found.directory / QUIET_STAR_JSON)
    return QuietStarModel(backbone, text, thought_parts=parts, config=config)


def _load_backbone_and_tokenizer(
    found: Source, options: LoadOptions, *, tokenizer: Path | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The language model of a source, without its thought parts.

    Args:
        tokenizer: the directory of the tokenizer; None: the source's own.
    """
    if found.gguf_file is not None or found.is_adapter:
        whole = dataclasses.replace(options, num_ranks=1)
        if found.gguf_file is not None:
            path = found.directory / found.gguf_file
            backbone, text = _load_gguf(path, whole, tokenizer=tokenizer)
        else:
            backbone, text = _load_adapted(found, whole, tokenizer=tokenizer)
        return shard(backbone, options.num_ranks) if options.num_ranks > 1 else backbone, text
    own = own_names(found.directory) if found.kind is SourceKind.PUBLISHED else None
    own = own or OwnNames()
    # Its checks come before the tokenizer's loader reads the file.
    config = read_config(found.directory, ignored_keys=own.keys)
    text = load_tokenizer(tokenizer or found.directory)
    backbone = load_backbone(
        found.directory, config, options, ignored_tensors=own.tensors, prefix=own.prefix
    )
    return backbone, text


def _load_gguf(
    path: Path, options: LoadOptions, *, tokenizer: Path | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = tokenizer or tokenizer_beside(path)
    text = load_gguf_tokenizer(path) if tokenizer is None else load_tokenizer(tokenizer)
    backbone = load_gguf_backbone(path, options)
    generation_config = generation_config_beside(path)
    if generation_config is not None:
        backbone.generation_config = generation_config
    # Older versions of transformers set the file's end-of-sequence id on the model only.
    eos_token_id = backbone.config.eos_token_id
    if isinstance(eos_token_id, int) and tokenizer is None:
        text.eos_token = text.convert_ids_to_tokens(eos_token_id)
    return backbone, text


def _load_adapted(
    found: Source, options: LoadOptions, *, tokenizer: Path | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with the adapter merged into it."""
    if options.uses_bitsandbytes:
        raise ConfigError(
            f"quantization={options.quantization!r} would merge the adapter into rounded "
            f"weights. Run `qstar convert {found.label} DST` first and load DST quantised."
        )
    if tokenizer is None and has_tokenizer(found.directory):
        tokenizer = found.directory
    whole = dataclasses.replace(options, quantization="none")  # it is rounded after the merge
    backbone, text = _load_backbone_and_tokenizer(find_base(found), whole, tokenizer=tokenizer)
    # Not at the top: it imports PEFT, which takes seconds that other sources need not wait.
    from qstar_infer.checkpoint.adapter.merge import merge_adapter

    return merge_adapter(backbone, found.directory), text


def overridden(config: QuietStarConfig, num_thought_tokens: int | None) -> QuietStarConfig:
    """A config with the caller's thought length, if there is one, and a note about it."""
    if num_thought_tokens is None or num_thought_tokens == config.num_thought_tokens:
        return config
    note = (
        f"num_thought_tokens = {num_thought_tokens} was given by the caller; the checkpoint has "
        f"{config.num_thought_tokens}."
    )
    return dataclasses.replace(
        config, num_thought_tokens=num_thought_tokens, notes=[*config.notes, note]
    )


def _check_applicable(found: Source, overrides: Overrides) -> None:
    if overrides.thought_vectors == "literal" and found.kind is not SourceKind.PUBLISHED:
        raise ConfigError(
            "thought_vectors='literal' applies only to published checkpoints, and "
            f"{found.label} is {found.kind.value}. Leave it out."
        )
    length = overrides.num_thought_tokens
    if length is not None and found.kind in (SourceKind.PLAIN, SourceKind.GGUF):
        raise ConfigError(
            f"num_thought_tokens={length} was given, but {found.label} has no thought "
            "parts and cannot think. Add them with `qstar init`, or leave the option out."
        )
