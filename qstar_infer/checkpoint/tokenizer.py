"""Loads a tokenizer and checks that it fits the model."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import CheckpointError

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
        CheckpointError: there is none, or transformers cannot read it.
    """
    if not has_tokenizer(directory):
        raise CheckpointError(
            f"{directory} has no tokenizer (none of {', '.join(_TOKENIZER_FILES)}). "
            "Copy the tokenizer files of the base model into it."
        )
    with third_party(f"The tokenizer in {directory}", "Fetch its files again."):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    return tokenizer


def check_tokenizer_fits(
    tokenizer: PreTrainedTokenizerBase, backbone: PreTrainedModel, where: str
) -> None:
    """Check that every id of the tokenizer has an embedding row.

    Raises:
        CheckpointError: an id has no row.
    """
    highest = max(tokenizer.get_vocab().values(), default=-1)
    rows = embedding_table(backbone).shape[0]
    if highest >= rows:
        raise CheckpointError(
            f"The tokenizer of {where} has ids up to {highest}, but the embedding has only "
            f"{rows} rows (ids 0 to {rows - 1}). They belong to different models: use the "
            "tokenizer that the model was trained with."
        )


def delimiter_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int] | None:
    """Ids of the start and end delimiter by name; None if the vocabulary has neither.

    Raises:
        CheckpointError: the vocabulary has only one of them, which could then be sampled.
    """
    vocabulary = tokenizer.get_vocab()
    known = [name for name in (START_TOKEN, END_TOKEN) if name in vocabulary]
    if len(known) == 1:
        raise CheckpointError(
            f"The tokenizer knows {known[0]} as {vocabulary[known[0]]} and lacks the other of the "
            f"delimiters {START_TOKEN} and {END_TOKEN}. Use the tokenizer that the model was "
            "trained with, which has both or neither."
        )
    return (vocabulary[START_TOKEN], vocabulary[END_TOKEN]) if known else None


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
