"""The arguments that several endpoints share, and the JSON body made from arguments."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from pydantic import BaseModel

JSONBody = Mapping[str, object]


class ThoughtParams(TypedDict, total=False):
    """Optional arguments of every request that generates: how to think.

    Arguments that are absent or None are not sent, so that the server's defaults apply.
    """

    show_thoughts: bool | None
    """Return the thought of each token; default False. The operator can forbid it (403)."""
    thought_top_logprobs: int | None
    """Add this many most likely tokens, with the thought and without, to each thought; needs
    `show_thoughts`. Up to 20 unless the operator says otherwise."""
    show_passes: bool | None
    """Add the passes that found the token to each thought; needs `show_thoughts`."""
    num_thought_tokens: int | None
    """Sampled tokens in each thought; 0: do not think. Default: as trained."""
    thought_temperature: float | None
    """Default: 0 if `temperature` is 0, else the checkpoint's, else 1."""
    thinking: Mapping[str, object] | None
    """At which tokens to think: `{"where": "everywhere"}`, `{"where": "behind", "tokens": [...]}`
    with names or ids of the vocabulary, or `{"where": "gate"}`. Default: as the checkpoint says."""
    think_threshold: float | None
    """Skip a thought if the model's top probability without it is at least this. Faster, but
    approximate."""


class SamplingParams(ThoughtParams, total=False):
    """Optional arguments of every request that generates. Defaults: the checkpoint's."""

    temperature: float | None
    """0 is greedy."""
    top_p: float | None
    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    logit_bias: Mapping[int, float] | Mapping[str, float] | None
    """Added to the logits of these token ids; each in [-100, 100]."""
    min_tokens: int | None
    """Ignore end-of-sequence and stop conditions until this many tokens are generated."""
    stop: str | Sequence[str] | None
    """Strings that end the output and are not part of it."""
    stop_token_ids: Sequence[int] | None
    include_stop_str_in_output: bool | None
    ignore_eos: bool | None
    skip_special_tokens: bool | None
    allowed_token_ids: Sequence[int] | None
    """Only these tokens may be generated."""
    bad_words: Sequence[str] | None
    """Words that may not be generated."""
    structured_outputs: Mapping[str, object] | None
    """One of `json`, `regex`, `choice` and `grammar`, as in vLLM."""
    seed: int | None
    """The same seed and settings give the same text and thoughts."""
    reasoning_effort: str | None
    """`none` turns thinking off; other efforts choose the length of thoughts."""
    chat_template_kwargs: Mapping[str, object] | None
    stream_options: Mapping[str, object] | None
    """`{"include_usage": True}` is the default of `stream()`, but not of `create(stream=True)`."""
    priority: int | None
    """A request with a lower number is served sooner."""
    cache_salt: str | None
    """Prefixes are shared only among requests with the same salt."""
    request_id: str | None
    """Names the request in the server's log."""
    user: str | None


class ChoicesParams(SamplingParams, total=False):
    """Optional arguments of the endpoints whose answers have `choices`: completions and chat."""

    max_tokens: int | None
    """Most visible tokens to produce. Default: 16 in completions, all that fit in chat."""
    n: int | None
    """Number of answers for each prompt."""
    response_format: Mapping[str, object] | None
    """`{"type": "json_object"}`, or `{"type": "json_schema", "json_schema": {...}}`."""
    add_special_tokens: bool | None
    """Whether the tokenizer adds its special tokens to the prompt."""
    truncate_prompt_tokens: int | None
    """Keep only this many of the last prompt tokens."""
    return_token_ids: bool | None
    return_tokens_as_token_ids: bool | None
    """Name tokens as `token_id:17` in logprobs."""


def request_body(
    required: JSONBody,
    params: Mapping[str, object],
    extra_body: JSONBody | None,
    *,
    allowed: type,
) -> dict[str, object]:
    """The JSON body of a request. `model` and `stream` are in it only if `extra_body` has them.

    Args:
        allowed: the TypedDict of the optional arguments.

    Raises:
        TypeError: an argument has an unknown name, or `extra_body` changes `stream`.
    """
    unknown = sorted(params.keys() - allowed.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"unknown arguments: {', '.join(unknown)}; "
            "pass fields that this client does not know in extra_body"
        )
    if extra_body is not None and "stream" in extra_body:
        raise TypeError("extra_body cannot set 'stream'; pass stream=True to create() instead")
    return {**required, **present(params), **(extra_body or {})}


def streamed(body: JSONBody, *, with_usage: bool) -> dict[str, object]:
    """The body of the same request as a stream.

    Args:
        with_usage: ask for the token counts, unless the caller says something about them.
    """
    options: JSONBody = {"stream_options": {"include_usage": True}} if with_usage else {}
    return {**options, **body, "stream": True}


def present(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def encode_json(body: JSONBody) -> bytes:
    """The body as UTF-8. Answers of this client in it, such as a message, become JSON too.

    Raises:
        TypeError: a value has no form in JSON.
        ValueError: a number is not finite, a text is not Unicode, or the nesting is too deep.
    """
    try:
        text = json.dumps(
            body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_model_fields
        )
    except RecursionError:
        raise ValueError("the request is nested too deeply for JSON") from None
    return text.encode()


def _model_fields(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
