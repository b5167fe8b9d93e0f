"""Finds the ids of the delimiters of a checkpoint of another code base."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.backbone import CONFIG_NAME
from qstar_infer.checkpoint.layouts.layout import ThoughtLayout
from qstar_infer.checkpoint.tokenizer import add_delimiters, delimiter_ids
from qstar_infer.errors import CheckpointError

_OTHER_MODEL = "They belong to different models: use the tokenizer that the model was trained with."


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
    if known is None:
        return _ids_of_config(layout, tokenizer, directory)
    for name, in_tokenizer, in_config in zip(
        layout.delimiters, known, layout.delimiter_ids, strict=True
    ):
        if in_config not in (None, in_tokenizer):
            raise CheckpointError(
                f"{directory / CONFIG_NAME} has the id {in_config} for {name}, but the tokenizer "
                f"has it as {in_tokenizer}. {_OTHER_MODEL}"
            )
    return known


def _ids_of_config(
    layout: ThoughtLayout, tokenizer: PreTrainedTokenizerBase, directory: Path
) -> tuple[int, int]:
    """The ids that `config.json` gives to delimiters that the tokenizer does not know."""
    (start, end), (start_id, end_id) = layout.delimiters, layout.delimiter_ids
    if start_id is None or end_id is None:
        raise CheckpointError(
            f"The tokenizer in {directory} lacks {start} and {end}, which the code of this "
            "checkpoint adds to its base tokenizer. Use the tokenizer files that belong to the "
            "checkpoint, or name the base tokenizer with tokenizer=... or --tokenizer: the two are "
            "then added."
        )
    if start_id == end_id or {start_id, end_id}.intersection(tokenizer.get_vocab().values()):
        raise CheckpointError(
            f"{directory / CONFIG_NAME} has the delimiter ids {start_id} and {end_id}, but the "
            f"tokenizer has other tokens there, or they are equal. {_OTHER_MODEL}"
        )
    return start_id, end_id


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
