"""How a checkpoint thinks, with the checks of loading that need no weights."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from qstar_infer.checkpoint.backbone import hidden_size
from qstar_infer.checkpoint.inspection.problems import Problems
from qstar_infer.checkpoint.inspection.skeleton import Skeleton
from qstar_infer.checkpoint.layouts.delimiters import check_delimiter_rows, find_delimiters
from qstar_infer.checkpoint.layouts.layout import ThoughtLayout
from qstar_infer.checkpoint.layouts.load import thought_length
from qstar_infer.checkpoint.native import (
    QUIET_STAR_JSON,
    QUIET_STAR_TENSORS,
    check_delimiters,
    check_gate,
    check_names_and_shapes,
    check_thinking,
    check_width,
    has_gate,
    read_native_config,
    thought_part_shapes,
)
from qstar_infer.checkpoint.source import Source, SourceKind
from qstar_infer.checkpoint.tensors import check_float_headers, headers_of
from qstar_infer.model.config import QuietStarConfig, TalkHeadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoughts:
    """How a checkpoint thinks. None: it does not, or that is not known."""

    config: QuietStarConfig | None = None
    talk_head: TalkHeadConfig | None = None
    has_gate: bool = False


def find_thoughts(
    found: Source, skeleton: Skeleton, problems: Problems, *, may_add_delimiters: bool
) -> Thoughts:
    """Describe and check the thought parts of a checkpoint.

    Args:
        found: the checkpoint.
        skeleton: what is known of its backbone and tokenizer.
        problems: gets the reasons why it would be refused.
        may_add_delimiters: whether the tokenizer is that of the base model.
    """
    if found.kind is SourceKind.NATIVE:
        return _of_native(skeleton, found.directory, problems)
    if skeleton.layout is None:
        return Thoughts()
    return _of_layout(skeleton.layout, skeleton, found.directory, problems, may_add_delimiters)


def _of_native(skeleton: Skeleton, directory: Path, problems: Problems) -> Thoughts:
    path = directory / QUIET_STAR_JSON
    both = problems.attempt(lambda: read_native_config(directory))
    if both is None:
        return Thoughts()
    config, talk_head = both
    names = _check_native_tensors(directory / QUIET_STAR_TENSORS, config, talk_head, problems)
    backbone, text = skeleton.backbone, skeleton.tokenizer
    if backbone is not None:
        problems.attempt(lambda: check_width(talk_head, hidden_size(backbone), path))
    if backbone is not None and text is not None:
        problems.attempt(lambda: check_delimiters(config, backbone, text, path))
        problems.attempt(lambda: check_thinking(config, backbone, text, path))
    return Thoughts(config=config, talk_head=talk_head, has_gate=has_gate(names))


def _check_native_tensors(
    path: Path, config: QuietStarConfig, talk_head: TalkHeadConfig, problems: Problems
) -> Collection[str]:
    """Check the headers of `quiet_star.safetensors`; returns the names of its tensors."""
    headers = problems.attempt(lambda: headers_of(path))
    if headers is None:
        return ()
    shapes = {name: header.shape for name, header in headers.items()}
    needed = thought_part_shapes(talk_head, shapes)
    problems.attempt(lambda: check_gate(config, shapes, path))
    problems.attempt(lambda: check_names_and_shapes(shapes, needed, path))
    problems.attempt(lambda: check_float_headers(headers, path))
    return headers


def _of_layout(
    layout: ThoughtLayout, skeleton: Skeleton, directory: Path, problems: Problems, may_add: bool
) -> Thoughts:
    both = problems.attempt(lambda: thought_length(layout, None, directory))
    if both is None:
        return Thoughts(talk_head=layout.talk_head)
    length, notes = both
    if length == 0:
        return Thoughts()  # a plain language model
    ids: tuple[int | None, int | None] = (None, None)
    if skeleton.tokenizer is not None:
        ids = _delimiters(layout, skeleton, directory, problems, may_add) or ids
    config = QuietStarConfig(
        num_thought_tokens=length,
        num_talk_tokens=layout.num_talk_tokens,
        thought_temperature=layout.thought_temperature,
        start_thought_token_id=ids[0],
        end_thought_token_id=ids[1],
        training={"origin": layout.origin},
        notes=notes,
    )
    return Thoughts(config=config, talk_head=layout.talk_head)


def _delimiters(
    layout: ThoughtLayout, skeleton: Skeleton, directory: Path, problems: Problems, may_add: bool
) -> tuple[int, int] | None:
    backbone, text = skeleton.backbone, skeleton.tokenizer
    assert text is not None
    ids = problems.attempt(lambda: find_delimiters(layout, text, directory, may_add=may_add))
    if ids is not None and backbone is not None:
        problems.attempt(lambda: check_delimiter_rows(ids, backbone, directory))
    return ids
