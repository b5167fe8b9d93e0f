"""Finds the ids of the delimiters of a checkpoint of another code base."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.backbone import CONFIG_NAME
from qstar_infer.checkpoint.layouts.layout import ThoughtLayout
from qstar_infer.checkpoint.tokenizer import add_delimiters, delimiter_ids
from qstar_infer.errors import CheckpointError


def find_delimiters(
    layout: ThoughtLayout, tokenizer: PreTrainedTokenizerBase, directory: Path, *, may_add: bool
) -> tuple[int, int]:
    """Ids of the delimiters, from the tokenizer's names and the layout's ids, which must agree.

    Args:
        layout: of the checkpoint.
        tokenizer: gets the delimiters if it lacks them and `may_add`.
        directory: holds the checkpoint, for messages.
        may_add: whether the tokenizer is that of the base model.

    Raises:
        CheckpointError: the ids are not known, or the tokenizer belongs to another model.
    """
    known = delimiter_ids(tokenizer, layout.delimiters)
    if known is None and may_add:
        known = add_delimiters(tokenizer, layout.delimiters)
    stored = layout.delimiter_ids
    start, end = layout.delimiters
    if known is None and stored is None:
        raise CheckpointError(
            f"The tokenizer in {directory} lacks {start} and {end}, which the code of this "
            "checkpoint adds to its base tokenizer. Use the tokenizer files that belong to the "
            "checkpoint, or name the base tokenizer with tokenizer=... or --tokenizer: the two are "
            "then added."
        )
    if stored is None:
        return known  # type: ignore[return-value]  # one of the two is there
    taken = set(tokenizer.get_vocab().values()).intersection(stored) if known is None else set()
    if known not in (None, stored) or taken or stored[0] == stored[1]:
        found = "other tokens there" if known is None else f"them as {known[0]} and {known[1]}"
        raise CheckpointError(
            f"{directory / CONFIG_NAME} has the delimiter ids {stored[0]} and {stored[1]}, but the "
            f"tokenizer has {found}. They belong to different models: use the tokenizer that the "
            "model was trained with."
        )
    return stored


def check_delimiter_rows(ids: tuple[int, int], backbone: PreTrainedModel, directory: Path) -> None:
    """Check that the embedding has a row for each delimiter.

    Raises:
        CheckpointError: it has not.
    """
    rows = embedding_table(backbone).shape[0]
    if max(ids) >= rows:
        raise CheckpointError(
            f"The delimiters of {directory} have the ids {ids[0]} and {ids[1]}, but the embedding "
            f"has only {rows} rows (ids 0 to {rows - 1}). Use the tokenizer of the base model that "
            "it was trained from."
        )
