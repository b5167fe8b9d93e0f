"""The embedding that fresh thought vectors start from."""

import json

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.backbone import input_embedding_row
from qstar_infer.checkpoint.tokenizer import DELIMITER_TEXT
from qstar_infer.errors import CheckpointError, ConfigError

START_TEXTS = (DELIMITER_TEXT, "--", "-", "\N{EM DASH}", "...", ".")
"""Marks of a break in a text: the paper's (section 4.2), then those that come closest to it."""

_BLANKS = " \t▁Ġ"
"""Spaces, and how tokenizers write them: alone they are no part of the text."""


def start_row(
    backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[Tensor, str | None]:
    """The embedding of the first token of `---`.

    A tokenizer that does not know these characters encodes them to nothing or to its unknown token,
    whose row is not trained. Then it is the first token of a text that it knows, or the mean of the
    embeddings of its tokens.

    Returns:
        `[hidden]`, float32, on the CPU; and a sentence that says what it is, None if it is `---`.

    Raises:
        CheckpointError: the tokenizer has no tokens but special ones.
    """
    num_rows = embedding_table(backbone).shape[0]  # a tokenizer may have more tokens
    for text in START_TEXTS:
        token_id = _first_id(tokenizer, text)
        if token_id is None or token_id >= num_rows:
            continue
        row = input_embedding_row(backbone, token_id)
        return row, None if text == DELIMITER_TEXT else _note(f"that of {text!r}")
    special = {*tokenizer.all_special_ids, *_unknown_ids(tokenizer)}
    ids = sorted({*tokenizer.get_vocab().values()} & {*range(num_rows)} - special)
    if not ids:
        raise CheckpointError(
            "The tokenizer has no tokens but special ones, so fresh thought vectors have no "
            "embedding to start from. Use another base model."
        )
    return _mean_row(backbone, ids), _note("the mean of all tokens")


def token_row(
    backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, token: str, *, setting: str
) -> Tensor:
    """The embedding of one token of the vocabulary, by its exact name.

    Args:
        token: as the vocabulary spells it, such as `>` or `Ġthe`.
        setting: what named the token, for messages.

    Returns:
        `[hidden]`, float32, on the CPU.

    Raises:
        ConfigError: the vocabulary has no such token, or the embedding has no row for it.
    """
    token_id = tokenizer.get_vocab().get(token)
    if token_id is None:
        raise ConfigError(
            f"{setting} = {token!r}: the vocabulary has no such token. Give one token as "
            "tokenizer.json spells it."
        )
    num_rows = embedding_table(backbone).shape[0]
    if token_id >= num_rows:
        raise ConfigError(
            f"{setting} = {token!r}: its id is {token_id}, and the embedding has only {num_rows} "
            "rows. Give another token."
        )
    return input_embedding_row(backbone, token_id)


def _first_id(tokenizer: PreTrainedTokenizerBase, text: str) -> int | None:
    """The first id of a text, without special tokens and a prefix of spaces.

    None if the tokenizer does not know the text.
    """
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if _unknown_ids(tokenizer) & set(ids):
        return None
    for token_id in ids:
        token = tokenizer.convert_ids_to_tokens(token_id)
        if token_id not in tokenizer.all_special_ids and str(token).strip(_BLANKS):
            return int(token_id)
    return None


def _unknown_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids that stand for unknown text. The wrapper may not name the one of its backend."""
    found = {tokenizer.unk_token_id}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer):
        model = json.loads(backend.to_str())["model"]
        found |= {model.get("unk_id"), tokenizer.get_vocab().get(model.get("unk_token"))}
    return {token_id for token_id in found if token_id is not None}


def _mean_row(backbone: PreTrainedModel, ids: list[int]) -> Tensor:
    """The mean of what the embedding gives; some architectures scale the rows of its table."""
    with torch.no_grad():
        rows: Tensor = backbone.get_input_embeddings()(torch.tensor(ids, device=backbone.device))
    return rows.float().mean(dim=0).cpu()


def _note(what: str) -> str:
    return (
        f"A thought vector starts as an embedding, and it is {what}: the tokenizer does not "
        f"know {DELIMITER_TEXT!r}, the text from which the paper's start. To choose tokens that "
        "the model knows, give start_token and end_token (--start-token, --end-token)."
    )
