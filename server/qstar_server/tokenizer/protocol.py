"""Request and response types of the tokenizer's endpoints."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from qstar_server.field_types import TokenId

MAX_CHARS = 1_000_000
"""Longest text of a request."""
MAX_TOKENS = 262_144
"""Most token ids of a request."""


class TokenizerRequest(BaseModel):
    """Fields of both requests. Null means the default; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="allow", use_attribute_docstrings=True)

    model: str | None = None
    """The served model, or null."""


class TokenizeRequest(TokenizerRequest):
    """Asks for the token ids of a text."""

    prompt: Annotated[str, Field(max_length=MAX_CHARS)]
    add_special_tokens: bool | None = None
    """Whether the tokenizer adds its own tokens, such as the beginning of sequence. Null is
    true."""
    return_token_strs: bool | None = None
    """Whether `token_strs` names each token. Null is false."""


class TokenizeResponse(BaseModel):
    """Token ids."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    count: int
    max_model_len: int
    """Most visible tokens, prompt and output together."""
    tokens: list[int]
    token_strs: list[str] | None
    """The name of each token in the vocabulary; null unless asked for."""


class DetokenizeRequest(TokenizerRequest):
    """Asks for the text of token ids."""

    tokens: Annotated[list[TokenId], Field(max_length=MAX_TOKENS, fail_fast=True)]


class DetokenizeResponse(BaseModel):
    """The text, with that of special tokens."""

    prompt: str


class TokenizerInfoResponse(BaseModel):
    """What a client needs to prepare prompts itself. Tokens are null where there are none."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    tokenizer_class: str
    model_max_length: int
    """Most visible tokens of the served model, prompt and output together."""
    vocab_size: int
    """Token ids are in `[0, vocab_size)`."""
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str | None
    """In Jinja."""
