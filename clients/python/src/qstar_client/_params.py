"""The arguments of a completion request and the JSON body they become."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

Prompt = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""One text, several texts, one list of token ids, or several such lists."""


class CompletionParams(TypedDict, total=False):
    """Optional arguments of `completions.create` and `completions.stream`.

    What is absent or None is not sent, and the server's default holds.
    """

    max_tokens: int | None
    """Most visible tokens to produce; 16 unless given."""
    min_tokens: int | None
    """No end-of-sequence token before this many."""
    temperature: float | None
    """0 is greedy; the checkpoint's default, else 1, unless given."""
    top_p: float | None
    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    logit_bias: Mapping[int, float] | None
    """Added to the logits of these token ids, -100..100."""
    n: int | None
    """Completions for each prompt."""
    stop: str | Sequence[str] | None
    """Texts that end the output and are not part of it."""
    echo: bool | None
    """Put the prompt before the text."""
    logprobs: int | None
    """Report this many most likely tokens beside each chosen one; 0 is the chosen one alone."""
    seed: int | None
    """The same seed and settings give the same text and thoughts."""
    show_thoughts: bool | None
    """Fill `choices[].thoughts`; off unless given. An operator can forbid it (403)."""
    num_thought_tokens: int | None
    """Sampled tokens in each thought; as trained unless given, 0 does not think."""
    thought_temperature: float | None
    """0 when `temperature` is 0, else the checkpoint's default, else 1, unless given."""
    think_threshold: float | None
    """Skip a thought where the model without it is at least this sure. Faster, approximate."""


_NAMES = frozenset(CompletionParams.__annotations__)


def completion_body(
    prompt: Prompt,
    params: CompletionParams,
    extra_body: Mapping[str, object] | None,
    *,
    stream: bool,
) -> dict[str, object]:
    """The JSON body, without `model` where the caller leaves that to the server.

    Raises:
        TypeError: an argument has an unknown name, or `extra_body` changes `stream`.
    """
    unknown = sorted(params.keys() - _NAMES)
    if unknown:
        raise TypeError(
            f"unknown arguments: {', '.join(unknown)}; "
            "fields this client does not know go into extra_body"
        )
    if extra_body is not None and "stream" in extra_body:
        raise TypeError("extra_body cannot set 'stream'; call completions.stream() instead")
    body: dict[str, object] = {"prompt": prompt}
    body |= {name: value for name, value in params.items() if value is not None}
    if stream:
        # Without usage in the last chunk a gathered stream would lack what `create` returns.
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body | dict(extra_body or {})


def check_not_streamed(stream: object) -> None:
    """Refuse `create(stream=True)`, which a type checker refuses already.

    Raises:
        TypeError: `stream` is set.
    """
    if stream:
        raise TypeError("create() returns whole completions; call completions.stream() instead")
