"""Reads `quiet_star.json` and `quiet_star.safetensors`, the thinking part of a checkpoint."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.reading import read_json
from qstar_infer.checkpoint.talk_head import head_to_json, read_head
from qstar_infer.checkpoint.tensors import (
    check_finite,
    check_float_headers,
    headers_of,
    read_tensors,
)
from qstar_infer.checkpoint.tokenizer import END_TOKEN, START_TOKEN, delimiter_ids
from qstar_infer.errors import CheckpointError, RequestError
from qstar_infer.model.config import (
    ANY_HEAD_FORMAT_VERSION,
    FORMAT_VERSION,
    QuietStarConfig,
    TalkHeadConfig,
)
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule, read_rule, resolve_rule

QUIET_STAR_JSON = "quiet_star.json"
QUIET_STAR_TENSORS = "quiet_star.safetensors"
GATE_TENSORS = ("gate.weight", "gate.bias")

_OPTIONAL_INT = (int, type(None))
_OPTIONAL_STR = (str, type(None))
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "num_thought_tokens": (int,),
    "num_talk_tokens": (int,),
    "thought_temperature": (int, float, type(None)),
    "thinking": (dict,),
    "start_thought_token_id": _OPTIONAL_INT,
    "end_thought_token_id": _OPTIONAL_INT,
    "base_model": _OPTIONAL_STR,
    "base_revision": _OPTIONAL_STR,
    "training": (dict, type(None)),
    "notes": (list,),
}
_MINIMA: dict[str, int] = {
    "num_thought_tokens": 1,
    "num_talk_tokens": 0,
    "start_thought_token_id": 0,
    "end_thought_token_id": 0,
}


def to_json(config: QuietStarConfig, *, talk_head: TalkHeadConfig) -> dict[str, Any]:
    """The content of `quiet_star.json`.

    `thinking` is left out if the model thinks everywhere, so that programs which do not know the
    field can read the file. With another rule they refuse it, since they refuse unknown fields; so
    the field needs no format version of its own.
    """
    version = FORMAT_VERSION if talk_head.is_standard else ANY_HEAD_FORMAT_VERSION
    values = dataclasses.asdict(config) | {"thinking": config.thinking.to_json()}
    if config.thinking == EVERYWHERE:
        del values["thinking"]
    return {"format_version": version, **values, "talk_head": head_to_json(talk_head)}


def read_native(directory: Path, *, hidden: int) -> tuple[QuietStarConfig, ThoughtParts]:
    """Read and check both files of a directory.

    Args:
        directory: holds the two files.
        hidden: the backbone's width.

    Raises:
        CheckpointError: a file is missing, malformed, or made for another backbone.
    """
    config, talk_head = read_native_config(directory)
    check_width(talk_head, hidden, directory / QUIET_STAR_JSON)
    path = directory / QUIET_STAR_TENSORS
    headers = headers_of(path)
    check_float_headers(headers, path)
    check_gate(config, headers, path)
    return config, build_thought_parts(read_tensors(path), talk_head=talk_head, where=path)


def check_width(talk_head: TalkHeadConfig, hidden: int, path: Path) -> None:
    """Check that a talk head fits the backbone's width.

    Raises:
        CheckpointError: it does not.
    """
    if talk_head.hidden_size != hidden:
        raise CheckpointError(
            f"{path}: talk_head.hidden_size is {talk_head.hidden_size}, but "
            f"the backbone is {hidden} wide. The thought parts belong to another model: use the "
            "checkpoint they were saved with."
        )


def has_gate(names: Collection[str]) -> bool:
    """Whether a gate, or a part of one, is among these tensors of thought parts."""
    return any(name in names for name in GATE_TENSORS)


def check_gate(config: QuietStarConfig, names: Collection[str], path: Path) -> None:
    """Check that there is a gate if the rule asks one.

    Args:
        config: its rule.
        names: the tensors in `path`, the `quiet_star.safetensors`.

    Raises:
        CheckpointError: there is none.
    """
    if config.thinking.where == "gate" and not has_gate(names):
        raise CheckpointError(
            f"{path} has no gate ({', '.join(GATE_TENSORS)}), but {QUIET_STAR_JSON} says that "
            'thinking.where is "gate". Save or fetch the checkpoint again, or correct '
            f"thinking in {QUIET_STAR_JSON}."
        )


def check_thinking(
    config: QuietStarConfig,
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
) -> None:
    """Check that the model has the tokens that its rule names.

    Args:
        config: the content of `path`, the `quiet_star.json`.
        backbone: its embedding has a row for each id.
        tokenizer: knows the names.

    Raises:
        CheckpointError: it lacks one; it is named.
    """
    try:
        resolve_rule(
            config.thinking,
            id_of=tokenizer.get_vocab().get,
            vocab_size=embedding_table(backbone).shape[0],
            has_gate=True,  # `check_gate` looks for it
        )
    except ValueError as error:
        raise CheckpointError(
            f"{path}: thinking cannot be followed: {error}. Correct it, or use the tokenizer that "
            "the model was trained with."
        ) from error


def check_delimiters(
    config: QuietStarConfig,
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
) -> None:
    """Check the ids of the delimiters.

    A delimiter of the vocabulary must be recorded, since it could be sampled otherwise.

    Args:
        config: the content of `path`.
        backbone: its embedding has a row for each id.
        tokenizer: may know the delimiters by name.
        path: the `quiet_star.json`.

    Raises:
        CheckpointError: only one id, twice the same id, an id out of range, or other ids than the
            tokenizer's.
    """
    start_id, end_id = config.start_thought_token_id, config.end_thought_token_id
    known = delimiter_ids(tokenizer)
    if (start_id is None) != (end_id is None):
        raise CheckpointError(
            f"{path} has start_thought_token_id = {start_id} and end_thought_token_id = {end_id}: "
            "give the ids of both delimiters, or null for both if the vocabulary has none."
        )
    if known is not None and known != (start_id, end_id):
        recorded = (
            "no delimiter ids" if start_id is None else f"the delimiter ids {start_id}, {end_id}"
        )
        raise CheckpointError(
            f"{path} has {recorded}, but the tokenizer knows {START_TOKEN} as {known[0]} and "
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


def thought_part_shapes(
    talk_head: TalkHeadConfig, found: Collection[str]
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of each tensor that thought parts need.

    Args:
        found: the names of the tensors that there are. They decide whether there is a gate.
    """
    with torch.device("meta"):
        parts = ThoughtParts(talk_head.hidden_size, talk_head=talk_head, has_gate=has_gate(found))
    return {name: tuple(tensor.shape) for name, tensor in parts.state_dict().items()}


def check_names_and_shapes(
    found: Mapping[str, tuple[int, ...]], needed: Mapping[str, tuple[int, ...]], where: Path
) -> None:
    """Check that the tensors found are those needed, with their shapes.

    Raises:
        CheckpointError: a tensor is missing, unknown or misshapen; it is named.
    """
    missing = sorted(set(needed) - set(found))
    if missing:
        raise CheckpointError(
            f"{where} lacks the thought parts {', '.join(missing)}. "
            "Save or fetch the checkpoint again."
        )
    unknown = sorted(set(found) - set(needed))
    if unknown:
        raise CheckpointError(
            f"{where} holds unknown tensors: {', '.join(unknown)}. "
            "It was written by another version or another program."
        )
    for name, shape in needed.items():
        if found[name] != shape:
            raise CheckpointError(
                f"{name} in {where} has shape {list(found[name])}; this backbone needs "
                f"{list(shape)}. The thought parts belong to another model."
            )


def check_values(tensors: Mapping[str, Tensor], where: Path) -> None:
    """Check that tensors of thought parts are floating point and finite.

    Raises:
        CheckpointError: one is not; it is named.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{name} in {where} is {tensor.dtype}; this backbone needs floating point. "
                "The thought parts belong to another model."
            )
    check_finite(dict(tensors), where)


def build_thought_parts(
    tensors: dict[str, Tensor], *, talk_head: TalkHeadConfig, where: Path
) -> ThoughtParts:
    """Thought parts in float32 from tensors named as in `quiet_star.safetensors`.

    Args:
        tensors: `talk_head.*`, `start_thought` and `end_thought`, and `gate.*` if there is a gate,
            in any float dtype.
        talk_head: its shape; its hidden size is the backbone's width.
        where: the file they come from, for messages.

    Raises:
        CheckpointError: a tensor is missing, unknown, misshapen, or not finite.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_names_and_shapes(shapes, thought_part_shapes(talk_head, shapes), where)
    check_values(tensors, where)
    values = {name: tensor.float() for name, tensor in tensors.items()}
    check_finite(values, where)  # again: a float64 may be too large for float32
    parts = ThoughtParts(talk_head.hidden_size, talk_head=talk_head, has_gate=has_gate(tensors))
    parts.load_state_dict(values)
    return parts


def read_native_config(directory: Path) -> tuple[QuietStarConfig, TalkHeadConfig]:
    """Read and check `quiet_star.json`.

    Raises:
        CheckpointError: malformed, of an unknown version, with unknown fields or wrong values.
    """
    path = directory / QUIET_STAR_JSON
    values = read_json(path)
    version = _known_version(values.pop("format_version", None), path)
    head = values.pop("talk_head", None)
    unknown = sorted(set(values) - set(_FIELD_TYPES))
    if unknown:
        raise CheckpointError(
            f"{path} has unknown fields: {', '.join(unknown)}. Format version {version} "
            f"knows {', '.join(_FIELD_TYPES)} and talk_head. Correct or remove them."
        )
    if "num_thought_tokens" not in values:
        raise CheckpointError(
            f"{path} lacks num_thought_tokens, the thought length. Add it, or save the checkpoint "
            "again."
        )
    for name, value in values.items():
        _check_value(name, value, path)
    talk_head = read_head(head, path)
    if version == FORMAT_VERSION and not talk_head.is_standard:
        raise CheckpointError(
            f"{path} has format_version {version}, which has only the talk head of the paper, but "
            "its talk_head has another shape. Correct it, or save the checkpoint again."
        )
    if "thinking" in values:
        values["thinking"] = _read_thinking(values["thinking"], path)
    return QuietStarConfig(**values), talk_head


def _read_thinking(value: Any, path: Path) -> ThinkingRule:
    try:
        return read_rule(value)
    except ValueError as error:
        raise CheckpointError(f"{path}: thinking is no rule: {error}. Correct it.") from error


def _known_version(version: Any, path: Path) -> int:
    if version is None:
        raise CheckpointError(
            f"{path} has no format_version. This program reads the versions {FORMAT_VERSION} and "
            f"{ANY_HEAD_FORMAT_VERSION}: save the checkpoint again, or add it if you wrote the "
            "file."
        )
    if type(version) is not int or version not in (FORMAT_VERSION, ANY_HEAD_FORMAT_VERSION):
        raise CheckpointError(
            f"{path} has format_version {version!r}, and this program reads only "
            f"{FORMAT_VERSION} and {ANY_HEAD_FORMAT_VERSION}. Update qstar, or save the checkpoint "
            "with a matching version."
        )
    return version


def _check_value(name: str, value: Any, path: Path) -> None:
    expected = _FIELD_TYPES[name]
    # bool is an int in Python, but `true` is no count.
    is_right: bool = isinstance(value, expected) and not isinstance(value, bool)
    if not is_right:
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in expected)
        raise CheckpointError(f"{path}: {name} must be {names}, not {value!r}. Correct it.")
    minimum = _MINIMA.get(name)
    if minimum is not None and value is not None and value < minimum:
        raise CheckpointError(
            f"{path}: {name} must be at least {minimum}, not {value}. Correct it."
        )
    if name == "thought_temperature":
        try:
            SamplingParams(thought_temperature=value)
        except RequestError as error:
            raise CheckpointError(f"{path}: {error}. Correct it.") from error
    if name == "notes" and not all(isinstance(note, str) for note in value):
        raise CheckpointError(f"{path}: notes must be a list of strings. Correct it.")
