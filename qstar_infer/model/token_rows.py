"""Tokens of a tokenizer that is larger than the model's embedding."""

from transformers import PreTrainedTokenizerBase


def tokens_without_row(tokenizer: PreTrainedTokenizerBase, num_rows: int) -> dict[int, str]:
    """Id -> token, ordered by id, of the tokens for which the embedding has no row.

    Some checkpoints have such tokens: their tokenizer was made for a family, of which this model
    does not take every kind of input.
    """
    beyond = [item for item in tokenizer.get_vocab().items() if item[1] >= num_rows]
    return {token_id: token for token, token_id in sorted(beyond, key=lambda item: item[1])}
