"""Engine log-probabilities as the four arrays of the legacy `logprobs` object."""

from collections.abc import Mapping, Sequence

from qstar_infer.errors import RequestError
from qstar_infer.outputs import Logprob
from qstar_server.completions.prompts import Decode, Prompt
from qstar_server.completions.protocol import Logprobs
from qstar_server.logprobs import finite_logprob

MAX_REPEATED_SCORES = 2**18
"""Most scored prompt tokens in a response whose choices repeat them: about 50 MB of JSON."""


def check_repeated_scores(num_prompt_tokens: int, *, n: int) -> None:
    """
    Raises:
        RequestError: the scores of a long prompt would be repeated in many choices, so that a short
            request gets a huge response.
    """
    if n > 1 and n * num_prompt_tokens > MAX_REPEATED_SCORES:
        raise RequestError(
            f"echo and logprobs would give the scores of {num_prompt_tokens} prompt tokens {n} "
            f"times; the most is {MAX_REPEATED_SCORES} scores. Lower n, or ask for them with n 1",
            param="n",
        )


def prompt_logprobs(
    prompt: Prompt, entries: Sequence[Mapping[int, Logprob] | None], *, decode: Decode
) -> Logprobs:
    """The arrays of an echoed prompt. Takes time with its length: call it off the event loop.

    Args:
        decode: keeps special tokens.
    """
    first = decode(prompt.token_ids[:1])
    return legacy_logprobs(prompt.token_ids, entries, prompt.echoed_offsets, text_of_unscored=first)


def legacy_logprobs(
    token_ids: Sequence[int],
    entries: Sequence[Mapping[int, Logprob] | None],
    offsets: Sequence[int],
    *,
    text_of_unscored: str = "",
) -> Logprobs:
    """The four arrays.

    Args:
        entries: None for a token without a score, such as the first of a prompt: its
            log-probabilities are null.
        text_of_unscored: the text of such a token.
    """
    arrays = Logprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=list(offsets))
    for token_id, entry in zip(token_ids, entries, strict=True):
        if entry is None:
            arrays.tokens.append(text_of_unscored)
            arrays.token_logprobs.append(None)
            arrays.top_logprobs.append(None)
            continue
        chosen = entry[token_id]
        arrays.tokens.append(chosen.decoded_token)
        arrays.token_logprobs.append(finite_logprob(chosen.logprob))
        arrays.top_logprobs.append(_top(token_id, entry))
    return arrays


def _top(chosen_id: int, entry: Mapping[int, Logprob]) -> dict[str, float]:
    """Log-probabilities by token text, the most likely first.

    Where two tokens have the same text, the chosen token keeps it and the other is named by its id.
    """
    by_text = {entry[chosen_id].decoded_token: chosen_id}
    for token_id, logprob in entry.items():
        if by_text.setdefault(logprob.decoded_token, token_id) != token_id:
            by_text[f"token_id:{token_id}"] = token_id
    ranked = sorted(by_text.items(), key=lambda item: -finite_logprob(entry[item[1]].logprob))
    return {text: finite_logprob(entry[token_id].logprob) for text, token_id in ranked}
