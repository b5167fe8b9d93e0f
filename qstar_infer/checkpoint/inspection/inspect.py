"""Describes a checkpoint without loading its weights: what `qstar inspect` prints.

The checks are those of loading, on a model without weights (`skeleton.py`), so that inspecting and
loading agree.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

from peft import LoraConfig

from qstar_infer.checkpoint.adapter.config import ADAPTER_TENSORS
from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.default import PARTS_DIRECTORY, built_default_model
from qstar_infer.checkpoint.inspection.facts import (
    AdapterFacts,
    GgufFacts,
    Inspection,
    ModelFacts,
    SafetyFacts,
    StoredWeights,
    TokenizerFacts,
)
from qstar_infer.checkpoint.inspection.problems import Problems
from qstar_infer.checkpoint.inspection.skeleton import Skeleton, build_skeleton
from qstar_infer.checkpoint.inspection.stored import count_gguf, count_safetensors
from qstar_infer.checkpoint.inspection.thinking import thinking_facts
from qstar_infer.checkpoint.inspection.thoughts import Thoughts, find_thoughts
from qstar_infer.checkpoint.native import QUIET_STAR_TENSORS
from qstar_infer.checkpoint.options import check_length_fits
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.checkpoint.safety import PICKLE_SUFFIXES, code_message, keys_of_code
from qstar_infer.checkpoint.source import Source, SourceKind, find_source, find_tokenizer
from qstar_infer.checkpoint.tensors import backbone_tensor_files, headers_of, tensor_headers
from qstar_infer.checkpoint.tokenizer import check_tokenizer_fits
from qstar_infer.context_length import context_length
from qstar_infer.errors import ConfigError
from qstar_infer.model.backbone_facts import backbone_name
from qstar_infer.model.generation_defaults import checkpoint_defaults
from qstar_infer.model.quiet_star import num_positions
from qstar_infer.model.source_name import LAB

_KINDS = {
    SourceKind.NATIVE: "native checkpoint",
    SourceKind.PUBLISHED: "checkpoint of another code base",
    SourceKind.PLAIN: "plain language model, without thought parts",
    SourceKind.GGUF: "GGUF file, a plain language model",
}


def inspect_checkpoint(
    source: str | Path | None = None,
    *,
    revision: str | None = None,
    tokenizer: str | Path | None = None,
) -> Inspection:
    """Describe a checkpoint, and say why loading would refuse it. Loads no weights.

    It reads JSON, tokenizers and the headers of weights, and no pickle. Two copies of tied
    embeddings are compared. A hub repository is fetched first, as for loading.

    Args:
        source, revision, tokenizer: as for `load_model`; a pickle is also possible.

    Raises:
        ConfigError: an argument does not apply to the source.
    """
    if source is None:
        if revision is not None:
            raise ConfigError(
                f"revision={revision!r} was given without a checkpoint, but the default model is "
                "part of this package. Leave it out, or name a hub repository."
            )
        return _inspect_default(tokenizer)
    if _is_pickle(source):
        problems = Problems()
        problems.attempt(lambda: find_source(source, revision=revision))
        return Inspection(
            source=str(source),
            kind="pickle, which is never opened",
            location=str(source),
            safety=SafetyFacts(pickles=[Path(source).name]),
            problems=problems.messages,
        )
    return _inspect(source, revision=revision, tokenizer=tokenizer)


def _inspect_default(tokenizer: str | Path | None) -> Inspection:
    built = built_default_model()
    inspection = _inspect(built or PARTS_DIRECTORY, revision=None, tokenizer=tokenizer)
    inspection.source = BASE_MODEL
    inspection.kind = f"default model: {inspection.kind}"
    if built is None:
        inspection.notes.append(
            "The default model is not built yet: the first start merges these parts into a native "
            "checkpoint in the cache."
        )
    return inspection


def _is_pickle(source: str | Path) -> bool:
    path = Path(os.path.expanduser(source))
    return path.suffix.lower() in PICKLE_SUFFIXES and os.path.isfile(path)


def _inspect(
    source: str | Path, *, revision: str | None, tokenizer: str | Path | None
) -> Inspection:
    problems = Problems()
    found = problems.attempt(lambda: find_source(source, revision=revision))
    if found is None:
        # What names code is not looked at any further: building its model could run it.
        return _refused_at_once(source, problems)
    directory = None
    if tokenizer is not None:
        directory = problems.attempt(lambda: find_tokenizer(tokenizer))
    skeleton = build_skeleton(found, problems, tokenizer=directory)
    thoughts = find_thoughts(found, skeleton, problems, may_add_delimiters=directory is not None)
    _check_tokenizer(found, skeleton, problems)
    _check_length(found, skeleton, thoughts, problems)
    where = found.directory / (found.gguf_file or "")
    return Inspection(
        source=found.label,
        kind=_kind(found),
        location=str(where),
        revision=found.revision,
        layout=None if skeleton.layout is None else skeleton.layout.name,
        model=_model_facts(skeleton, problems),
        thinking=thinking_facts(skeleton, thoughts, found.directory),
        tokenizer=_tokenizer_facts(skeleton),
        weights=problems.attempt(lambda: _stored(found, skeleton)),
        adapter=_adapter_facts(found, skeleton),
        gguf=_gguf_facts(skeleton),
        sampling_defaults=_sampling_defaults(skeleton, thoughts, problems),
        safety=SafetyFacts(pickles=_pickles(where)),
        notes=_notes(skeleton, thoughts),
        problems=problems.messages,
    )


def _kind(found: Source) -> str:
    if found.label == LAB:
        return f"lab model: {_KINDS[found.kind]}"
    if not found.is_adapter:
        return _KINDS[found.kind]
    if found.kind is SourceKind.PLAIN:
        return "adapter over a language model, without thought parts"
    return f"{_KINDS[found.kind]}, an adapter over a language model"


def _check_tokenizer(found: Source, skeleton: Skeleton, problems: Problems) -> None:
    backbone, text = skeleton.backbone, skeleton.tokenizer
    if backbone is not None and text is not None:
        is_published = found.kind is SourceKind.PUBLISHED
        where = str(found.directory) if is_published else found.label
        problems.attempt(lambda: check_tokenizer_fits(text, backbone, where))


def _check_length(
    found: Source, skeleton: Skeleton, thoughts: Thoughts, problems: Problems
) -> None:
    backbone, thinking = skeleton.backbone, thoughts.config
    if backbone is not None and thinking is not None:
        length = thinking.num_thought_tokens
        problems.attempt(lambda: check_length_fits(length, backbone.config, found.label))


def _refused_at_once(source: str | Path, problems: Problems) -> Inspection:
    path = Path(os.path.expanduser(source))
    inspection = Inspection(source=str(source), kind="unknown", problems=problems.messages)
    if source == LAB or not os.path.isdir(path):
        return inspection
    found = problems.attempt(lambda: list(keys_of_code(path))) or []
    for file, key in found:
        if code_message(file, key) not in problems.messages:
            problems.messages.append(code_message(file, key))
    inspection.location = str(path)
    inspection.safety = SafetyFacts(
        pickles=_pickles(path), code_keys=[f"{file.name}: {key}" for file, key in found]
    )
    return inspection


def _pickles(checkpoint: Path) -> list[str]:
    """The pickles in a directory; those beside a `.gguf` file are not the checkpoint's."""
    if not checkpoint.is_dir():
        return []
    return sorted(
        path.name for path in checkpoint.iterdir() if path.suffix.lower() in PICKLE_SUFFIXES
    )


def _model_facts(skeleton: Skeleton, problems: Problems) -> ModelFacts | None:
    backbone = skeleton.backbone
    if backbone is None:
        return None
    config = backbone.config.get_text_config()
    context = problems.attempt(lambda: context_length(config))
    learned = num_positions(backbone) is not None
    return ModelFacts(
        model_type=backbone.config.model_type,
        architecture=type(backbone).__name__,
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        num_parameters=backbone.num_parameters(),
        embedding_rows=embedding_table(backbone).shape[0],
        tied_embeddings=bool(config.tie_word_embeddings),
        context_length=None if context is None else context.num_tokens,
        context_origin="" if context is None else context.origin,
        rope=None if learned else getattr(config, "rope_parameters", None),
    )


def _tokenizer_facts(skeleton: Skeleton) -> TokenizerFacts | None:
    text, backbone = skeleton.tokenizer, skeleton.backbone
    if text is None:
        return None
    ids = set(text.get_vocab().values())
    rows = None if backbone is None else embedding_table(backbone).shape[0]
    return TokenizerFacts(
        kind=type(text).__name__,
        num_tokens=len(ids),
        highest_id=max(ids, default=-1),
        num_beyond_embedding=None if rows is None else sum(each >= rows for each in ids),
    )


def _stored(found: Source, skeleton: Skeleton) -> StoredWeights | None:
    if found.gguf_file is not None:
        return None if skeleton.gguf is None else count_gguf(skeleton.gguf.header)
    if found.is_adapter:
        headers = headers_of(found.directory / ADAPTER_TENSORS)
    else:
        headers = tensor_headers(backbone_tensor_files(found.directory))
    if found.kind is SourceKind.NATIVE:
        headers |= headers_of(found.directory / QUIET_STAR_TENSORS)
    return count_safetensors(list(headers.values()))


def _adapter_facts(found: Source, skeleton: Skeleton) -> AdapterFacts | None:
    if not found.is_adapter:
        return None
    base = skeleton.base
    where = None if base is None else str(base.directory / (base.gguf_file or ""))
    return AdapterFacts(base=where, settings=_changed_settings(skeleton.lora))


def _changed_settings(lora: LoraConfig | None) -> dict[str, Any]:
    if lora is None:
        return {}
    hidden = {
        "base_model_name_or_path",
        "inference_mode",
        "peft_version",
        "revision",
        "auto_mapping",
    }
    default = LoraConfig()
    settings = {
        item.name: getattr(lora, item.name)
        for item in dataclasses.fields(lora)
        if item.name not in hidden and getattr(lora, item.name) != getattr(default, item.name)
    }
    return {
        name: sorted(value) if isinstance(value, set) else getattr(value, "value", value)
        for name, value in settings.items()
    }


def _gguf_facts(skeleton: Skeleton) -> GgufFacts | None:
    gguf = skeleton.gguf
    if gguf is None:
        return None
    return GgufFacts(
        name=gguf.name,
        architecture=gguf.architecture,
        tensor_types=gguf.types,
        tokenizer=gguf.tokenizer,
    )


def _sampling_defaults(
    skeleton: Skeleton, thoughts: Thoughts, problems: Problems
) -> dict[str, float | int]:
    backbone = skeleton.backbone
    if backbone is None:
        return {}
    defaults = problems.attempt(
        lambda: checkpoint_defaults(
            backbone.generation_config, thoughts.config, name=backbone_name(backbone)
        )
    )
    values = {} if defaults is None else dataclasses.asdict(defaults)
    return {name: value for name, value in values.items() if value is not None}


def _notes(skeleton: Skeleton, thoughts: Thoughts) -> list[str]:
    if thoughts.config is not None:
        return list(thoughts.config.notes)
    return [] if skeleton.layout is None else list(skeleton.layout.notes)
