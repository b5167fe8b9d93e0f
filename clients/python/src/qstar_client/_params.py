"""The arguments of a completion request, and the JSON body made from them."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

Prompt = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""One text, several texts, one list of token ids, or several such lists."""


class CompletionParams(TypedDict, total=False):
    """Optional arguments of `completions.create` and `completions.stream`.

    Arguments that are absent or None are not sent, so that the server's defaults apply.
    """

    max_tokens: int | None
    """Most visible tokens to produce; default 16."""
    min_tokens: int | None
    """Ignore end-of-sequence and stop conditions until this many tokens are generated."""
    temperature: float | None
    """0 is greedy. Default: the checkpoint's, else 1."""
    top_p: float | None
    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    logit_bias: Mapping[int, float] | None
    """Added to the logits of these token ids; each in [-100, 100]."""
    n: int | None
    """Number of completions for each prompt."""
    stop: str | Sequence[str] | None
    """Strings that end the output and are not part of it."""
    echo: bool | None
    """Return the prompt at the start of the text."""
    logprobs: int | None
    """Report the chosen token and this many most likely ones; 0: only the chosen token."""
    seed: int | None
    """The same seed and settings give the same text and thoughts."""
    show_thoughts: bool | None
    """Fill `choices[].thoughts`; default False. The operator can forbid it (403)."""
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


_NAMES = frozenset(CompletionParams.__annotations__)


def completion_body(
    prompt: Prompt,
    params: CompletionParams,
    extra_body: Mapping[str, object] | None,
    *,
    stream: bool,
) -> dict[str, object]:
    """The JSON body of a completion request. `model` is in it only if `extra_body` has it.

    Raises:
        TypeError: an argument has an unknown name, or `extra_body` changes `stream`.
    """
    unknown = sorted(params.keys() - _NAMES)
    if unknown:
        raise TypeError(
            f"unknown arguments: {', '.join(unknown)}; "
            "pass fields that this client does not know in extra_body"
        )
    if extra_body is not None and "stream" in extra_body:
        raise TypeError("extra_body cannot set 'stream'; call completions.stream() instead")
    body: dict[str, object] = {"prompt": prompt}
    body |= {name: value for name, value in params.items() if value is not None}
    if stream:
        # `final()` must return the usage, as `create` does.
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body | dict(extra_body or {})


def check_not_streamed(stream: object) -> None:
    """Reject `create(stream=True)`, which is a type error too.

    Raises:
        TypeError: `stream` is set.
    """
    if stream:
        raise TypeError("create() cannot stream; call completions.stream() instead")
