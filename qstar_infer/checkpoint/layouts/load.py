"""Loads a checkpoint of another code base, as its layout describes it."""

import logging
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.backbone import (
    CONFIG_NAME,
    input_embedding_row,
    load_backbone,
    read_config,
)
from qstar_infer.checkpoint.layouts.delimiters import check_delimiter_rows, find_delimiters
from qstar_infer.checkpoint.layouts.find import describe_layout
from qstar_infer.checkpoint.layouts.layout import ThoughtLayout
from qstar_infer.checkpoint.layouts.parts import read_thought_parts
from qstar_infer.checkpoint.options import LoadOptions, Overrides
from qstar_infer.checkpoint.tokenizer import (
    check_tokenizer_fits,
    delimiter_text_id,
    load_tokenizer,
)
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts

logger = logging.getLogger(__name__)


def load_with_layout(
    directory: Path, options: LoadOptions, *, overrides: Overrides, tokenizer: Path | None
) -> QuietStarModel:
    """Load a checkpoint of another code base.

    Args:
        directory: holds the checkpoint; `describe_layout` recognises it.
        options: dtype, device, quantization.
        overrides: what is used in place of what the files say.
        tokenizer: the directory of a tokenizer to use instead of the checkpoint's own, for example
            that of the base model. Delimiters that it lacks are added.

    Raises:
        CheckpointError: something is missing or malformed, or the checkpoint cannot think here.
        ConfigError: an override does not apply to this layout.
    """
    layout = describe_layout(directory)
    assert layout is not None, "the caller has recognised a layout"
    _check_literal(layout, overrides, directory)
    length, notes = thought_length(layout, overrides.num_thought_tokens, directory)
    config = read_config(directory, ignored_keys=layout.own.keys)
    text = load_tokenizer(tokenizer or directory)
    ids = None
    if length > 0:
        ids = find_delimiters(layout, text, directory, may_add=tokenizer is not None)
    backbone = load_backbone(
        directory, config, options, ignored_tensors=layout.own.tensors, prefix=layout.own.prefix
    )
    if ids is not None:
        check_delimiter_rows(ids, backbone, directory)
    check_tokenizer_fits(text, backbone, str(directory))
    if ids is None:
        _log(notes, directory, level=logging.WARNING)
        return QuietStarModel(backbone, text)
    parts = read_thought_parts(layout, directory, backbone=backbone, ids=ids)
    if overrides.thought_vectors == "literal":
        notes.append(_make_literal(parts, backbone, text))
    _log(notes, directory, level=logging.INFO)
    thinking = QuietStarConfig(
        num_thought_tokens=length,
        num_talk_tokens=layout.num_talk_tokens,
        thought_temperature=layout.thought_temperature,
        start_thought_token_id=ids[0],
        end_thought_token_id=ids[1],
        training={"origin": layout.origin, "thought_vectors": overrides.thought_vectors},
        notes=notes,
    )
    return QuietStarModel(backbone, text, thought_parts=parts, config=thinking)


def _check_literal(layout: ThoughtLayout, overrides: Overrides, directory: Path) -> None:
    if overrides.thought_vectors == "literal" and not layout.has_literal_vectors:
        raise ConfigError(
            "thought_vectors='literal' means the vectors that the paper's evaluation script feeds, "
            f"and {directory} is a checkpoint of {layout.name}. Leave it out."
        )


def thought_length(
    layout: ThoughtLayout, asked: int | None, directory: Path
) -> tuple[int, list[str]]:
    """The thought length, and notes that say how it was found.

    Raises:
        CheckpointError: nobody says it.
    """
    inferred = layout.num_thought_tokens
    if asked is not None:
        others = "no length" if inferred is None else f"{inferred}, which was not used"
        return asked, [
            f"num_thought_tokens = {asked} was given by the caller; the files say {others}."
        ]
    if inferred is None:
        raise CheckpointError(
            f"{directory / CONFIG_NAME}: {' '.join(layout.notes)} The checkpoint stores its length "
            "nowhere else: pass num_thought_tokens to load_model or LLM, or --num-thought-tokens N "
            "to `qstar serve`, or store it with `qstar convert --num-thought-tokens N`."
        )
    return inferred, list(layout.notes)


def _log(notes: list[str], directory: Path, *, level: int) -> None:
    for note in notes:
        logger.log(level, "%s: %s", directory, note)


def _make_literal(
    parts: ThoughtParts, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> str:
    """Replace both vectors; returns a note that says so."""
    token_id = delimiter_text_id(tokenizer)
    row = input_embedding_row(backbone, token_id)
    parts.start_thought.data.copy_(row)
    parts.end_thought.data.copy_(row)
    return (
        f"Both thought vectors are the embedding of token {token_id}, the first of '---', as the "
        "published evaluation script makes them; the trained vectors are not used."
    )
