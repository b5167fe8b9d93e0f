"""Arguments of `completions.create` and `completions.stream`."""

from collections.abc import Sequence

from qstar_client._request_body import ChoicesParams

Prompt = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""One text, several texts, one list of token ids, or several such lists."""


class CompletionParams(ChoicesParams, total=False):
    """Optional arguments of `completions.create` and `completions.stream`.

    Arguments that are absent or None are not sent, so that the server's defaults apply.
    """

    best_of: int | None
    """Generate this many candidates, return the `n` best."""
    echo: bool | None
    """Return the prompt at the start of the text."""
    logprobs: int | None
    """Report the chosen token and this many most likely ones; 0: only the chosen token."""
    prompt_logprobs: int | None
    """The same for each prompt token, as `choices[].prompt_logprobs`."""
