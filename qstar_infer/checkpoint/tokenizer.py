"""Loads a tokenizer and checks that it fits the model."""

import logging
from collections.abc import Mapping
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import CheckpointError
from qstar_infer.model.token_rows import tokens_without_row

logger = logging.getLogger(__name__)

START_TOKEN = "<|startthought|>"
END_TOKEN = "<|endthought|>"
DELIMITER_TEXT = "---"
"""The paper's thought vectors start as the embedding of this text's first token (section 4.2)."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def has_tokenizer(directory: Path) -> bool:
    """Whether a directory holds the files of a tokenizer."""
    return any((directory / name).exists() for name in _TOKENIZER_FILES)


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a directory.

    Raises:
        CheckpointError: there is none, or transformers cannot read or use it.
    """
    if not has_tokenizer(directory):
        raise CheckpointError(
            f"{directory} has no tokenizer (none of {', '.join(_TOKENIZER_FILES)}). Name the one "
            "of its base model, a directory or a hub id, with tokenizer=... in Python, --tokenizer "
            "or QSTAR_TOKENIZER, or copy its files there."
        )
    with third_party(f"The tokenizer in {directory}", "Fetch its files again."):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
        tokenizer("a")  # some wrong settings show only in use
    return tokenizer


def check_tokenizer_fits(
    tokenizer: PreTrainedTokenizerBase, backbone: PreTrainedModel, where: str
) -> None:
    """Check that every id of the tokenizer has an embedding row, or log which have none.

    Tokens that were added to a vocabulary may lack a row: requests that use them are refused. The
    vocabulary itself must fit, or the tokenizer is another model's.

    Raises:
        CheckpointError: a token of the vocabulary has no row, or a token that every text needs.
    """
    rows = embedding_table(backbone).shape[0]
    beyond = tokens_without_row(tokenizer, rows)
    if not beyond:
        return
    if not beyond.keys() <= tokenizer.added_tokens_decoder.keys():
        raise CheckpointError(
            f"The tokenizer of {where} has ids up to {max(beyond)}, but the embedding has only "
            f"{rows} rows (ids 0 to {rows - 1}). They belong to different models: use the "
            "tokenizer that the model was trained with."
        )
    needed = _needed_token(tokenizer, beyond)
    if needed is not None:
        raise CheckpointError(
            f"The tokenizer of {where} has the token {beyond[needed]!r} as {needed}, but the "
            f"embedding has only {rows} rows (ids 0 to {rows - 1}), and the model cannot do "
            "without it. Use the tokenizer that the model was trained with."
        )
    first, *others = (f"{token!r} ({token_id})" for token_id, token in beyond.items())
    more = f" and {len(others)} more" if others else ""
    logger.warning(
        "%s: the tokenizer has more ids than the embedding has rows (%d): %s%s cannot be used, "
        "and prompts with them are refused",
        *(where, rows, first, more),
    )


def _needed_token(tokenizer: PreTrainedTokenizerBase, beyond: Mapping[int, str]) -> int | None:
    """The first of these tokens that is added to every text, or is a thought delimiter."""
    added_to_all: list[int] = tokenizer("")["input_ids"]
    return next(
        (
            token_id
            for token_id, token in beyond.items()
            if token_id in added_to_all or token in (START_TOKEN, END_TOKEN)
        ),
        None,
    )


def delimiter_ids(
    tokenizer: PreTrainedTokenizerBase, names: tuple[str, str] = (START_TOKEN, END_TOKEN)
) -> tuple[int, int] | None:
    """Ids of the start and end delimiter by name; None if the vocabulary has neither.

    Raises:
        CheckpointError: the vocabulary has only one of them, which could then be sampled.
    """
    vocabulary = tokenizer.get_vocab()
    known = [name for name in names if name in vocabulary]
    if len(known) == 1:
        raise CheckpointError(
            f"The tokenizer knows {known[0]} as {vocabulary[known[0]]} and lacks the other of the "
            f"delimiters {names[0]} and {names[1]}. Use the tokenizer that the model was "
            "trained with, which has both or neither."
        )
    return (vocabulary[names[0]], vocabulary[names[1]]) if known else None


def add_delimiters(tokenizer: PreTrainedTokenizerBase, names: tuple[str, str]) -> tuple[int, int]:
    """Add both delimiters as special tokens, in this order, behind the vocabulary.

    Returns:
        Their ids.
    """
    tokenizer.add_tokens(list(names), special_tokens=True)
    vocabulary = tokenizer.get_vocab()
    return vocabulary[names[0]], vocabulary[names[1]]


def delimiter_text_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The first id of `---`, without special tokens.

    Raises:
        CheckpointError: the tokenizer encodes `---` to nothing.
    """
    ids = tokenizer(DELIMITER_TEXT, add_special_tokens=False)["input_ids"]
    if not ids:
        raise CheckpointError(
            f"The tokenizer encodes {DELIMITER_TEXT!r} to no token at all, and the published "
            "evaluation script takes both thought vectors from its first token. Keep the trained "
            "vectors."
        )
    return int(ids[0])
