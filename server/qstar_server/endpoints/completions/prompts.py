"""The accepted forms of `prompt`, and how they become token ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qstar_infer.engine.protocol import AdmittedRequest, Engine
from qstar_infer.errors import ContextLengthError, RequestError

PromptInput = str | list[int]
"""One prompt as the client sent it: a text or token ids."""

Decode = Callable[[Sequence[int]], str]
"""Text of token ids."""

# Ordinary text has fewer characters per token with every common tokenizer. A longer text cannot fit
# the context, and tokenising it would only cost time.
_MAX_CHARS_PER_TOKEN = 16
_DOCUMENT_START = "<|endoftext|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One admitted prompt."""

    admitted: AdmittedRequest
    echoed_text: str
    """The client's text, or the text of its token ids; "" unless the request has `echo`."""
    echoed_offsets: list[int]
    """Where each token begins in that text; empty unless the request has `logprobs` too."""

    @property
    def request_id(self) -> str:
        return self.admitted.request.request_id

    @property
    def token_ids(self) -> list[int]:
        return self.admitted.request.prompt_token_ids


def parse_prompts(value: object) -> list[PromptInput]:
    """Any accepted form as a list of prompts.

    A text is one prompt, and so is a list of token ids. A list of texts, or of lists of token ids,
    is many. Null is the start of a document, like an empty text.

    Raises:
        ValueError: any other form.
    """
    if value is None:
        return [""]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if _are_token_ids(value):
            return [value]
        if all(isinstance(item, str) for item in value):
            return value
        if all(isinstance(item, list) and item and _are_token_ids(item) for item in value):
            return value
    raise ValueError(
        "must be a text, a list of texts, a list of token ids or a list of lists of token ids; "
        "token ids are non-negative integers, and no list of them may be empty"
    )


def check_text_lengths(inputs: Sequence[PromptInput], *, max_model_len: int) -> None:
    """A cheap check, to be made before the first text is encoded.

    Raises:
        ContextLengthError: a text is far longer than the context.
    """
    for item in inputs:
        if isinstance(item, str) and len(item) > _MAX_CHARS_PER_TOKEN * max_model_len:
            raise ContextLengthError(
                f"This model's maximum context length is {max_model_len} tokens. However, your "
                f"prompt has {len(item)} characters, which cannot fit. Please reduce the length of "
                "the prompt."
            )


def encode_prompt(engine: Engine, item: PromptInput, *, add_special_tokens: bool) -> list[int]:
    """Token ids of a prompt. Takes time with the length of a text: call it off the event loop.

    Raises:
        RequestError: a text is empty, and the vocabulary has no token that starts a document.
    """
    if not isinstance(item, str):
        return item
    token_ids = engine.encode(item, add_special_tokens=add_special_tokens)
    return token_ids if token_ids or item else _document_start(engine)


def echo_of(engine: Engine, given: str | None, admitted: AdmittedRequest) -> tuple[str, list[int]]:
    """The text to echo, and the offsets of its tokens if they are scored.

    Args:
        given: the client's text; None if it sent token ids, or if the prompt is cut.
    """
    params = admitted.request.params
    token_ids = admitted.request.prompt_token_ids
    skips = params.skip_special_tokens
    text = engine.decode(token_ids, skip_special_tokens=skips) if given is None else given
    if params.prompt_logprobs is None:
        return text, []
    return text, engine.offsets(token_ids, text=given, skip_special_tokens=skips)


def check_prompt_count(num_prompts: int, *, limit: int) -> None:
    """
    Raises:
        RequestError: there are more prompts than the operator allows.
    """
    if num_prompts > limit:
        raise RequestError(
            f"prompt holds {num_prompts} prompts; the most in one request is {limit}",
            param="prompt",
        )


def _are_token_ids(items: Sequence[object]) -> bool:
    return all(type(item) is int and item >= 0 for item in items)


def _document_start(engine: Engine) -> list[int]:
    """The token that OpenAI puts in place of an empty prompt."""
    token_ids = engine.encode(_DOCUMENT_START, add_special_tokens=False)
    is_one_token = len(token_ids) == 1
    if is_one_token and engine.decode(token_ids, skip_special_tokens=False) == _DOCUMENT_START:
        return token_ids
    raise RequestError(
        "the prompt is empty, and this model has no token that starts a document; send a text or "
        "token ids",
        param="prompt",
    )
