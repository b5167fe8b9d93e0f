"""Answers of `POST /tokenize` and `POST /detokenize`."""

from qstar_client._answer_types import AnswerModel


class TokenizeResponse(AnswerModel):
    """The token ids of a prompt."""

    tokens: list[int]
    count: int
    max_model_len: int
    """Most tokens of a prompt and its completion together."""
    token_strs: list[str] | None = None
    """The text of each token; None unless requested with `return_token_strs`."""


class DetokenizeResponse(AnswerModel):
    """The text of token ids."""

    prompt: str
