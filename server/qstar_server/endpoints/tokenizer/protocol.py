"""Request and response types of the tokenizer's endpoints."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from qstar_infer.errors import RequestError
from qstar_server.conversation.chat_messages import Messages, Tools, plain_tools
from qstar_server.conversation.conversation import Conversation
from qstar_server.generation.field_types import TokenId
from qstar_server.generation.generation_request import TemplateSwitches

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
    """Asks for the token ids of a text, or of a conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
                {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
            ]
        }
    )

    prompt: Annotated[str, Field(max_length=MAX_CHARS)] | None = None
    messages: Messages | None = None
    """As in `/v1/chat/completions`."""
    add_special_tokens: bool | None = None
    """Whether the tokenizer adds its own tokens, such as the beginning of sequence. Null is true
    for a text, false for a conversation, whose template writes them."""
    return_token_strs: bool | None = None
    """Whether `token_strs` names each token. Null is false."""
    add_generation_prompt: bool | None = None
    """Begin an answer behind the messages. Null is true, unless the last message is continued."""
    continue_final_message: bool | None = None
    """Leave the last message open."""
    tools: Tools | None = None
    """Those that the conversation's template shows."""
    chat_template_kwargs: TemplateSwitches | None = None
    chat_template: None = None
    """Only the model's own template is used."""

    def conversation(self) -> Conversation:
        """The messages and tools as plain data.

        Raises:
            RequestError: both ways to end the text are asked for, or a tool has a wrong name.
        """
        assert self.messages is not None
        ends_open = bool(self.continue_final_message)
        adds_prompt = self.add_generation_prompt
        if ends_open and adds_prompt:
            raise RequestError(
                "add_generation_prompt and continue_final_message are both true; leave out one",
                param="continue_final_message",
            )
        switches = self.chat_template_kwargs
        return Conversation(
            messages=[message.to_message() for message in self.messages],
            tools=plain_tools(self.tools),
            add_generation_prompt=not ends_open if adds_prompt is None else adds_prompt,
            continue_final_message=ends_open,
            template_options={} if switches is None else switches.model_dump(exclude_none=True),
        )


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
