"""Engine log-probabilities as the four arrays of the legacy `logprobs` object."""

from collections.abc import Mapping, Sequence

from qstar_infer.errors import RequestError
from qstar_infer.outputs import Logprob
from qstar_server.endpoints.completions.prompts import Decode, Prompt
from qstar_server.endpoints.completions.protocol import Logprobs, PromptLogprob
from qstar_server.generation.logprobs import finite_logprob

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
            f"the response would give the scores of {num_prompt_tokens} prompt tokens {n} times; "
            f"the most is {MAX_REPEATED_SCORES} scores. Lower n, or ask for them with n 1",
            param="n",
        )


def echoed_logprobs(
    prompt: Prompt,
    entries: Sequence[Mapping[int, Logprob] | None],
    *,
    decode: Decode,
    names_ids: bool,
) -> Logprobs:
    """The arrays of an echoed prompt. Takes time with its length: call it off the event loop.

    Args:
        decode: keeps special tokens.
        names_ids: see `legacy_logprobs`.
    """
    first = prompt.token_ids[0]
    return legacy_logprobs(
        prompt.token_ids,
        entries,
        prompt.echoed_offsets,
        text_of_unscored=_id_name(first) if names_ids else decode([first]),
        names_ids=names_ids,
    )


def legacy_logprobs(
    token_ids: Sequence[int],
    entries: Sequence[Mapping[int, Logprob] | None],
    offsets: Sequence[int],
    *,
    names_ids: bool,
    text_of_unscored: str = "",
) -> Logprobs:
    """The four arrays.

    Args:
        entries: None for a token without a score, such as the first of a prompt: its
            log-probabilities are null.
        names_ids: name each token "token_id:..." instead of by its text.
        text_of_unscored: the name of a token without a score.
    """
    arrays = Logprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=list(offsets))
    for token_id, entry in zip(token_ids, entries, strict=True):
        if entry is None:
            arrays.tokens.append(text_of_unscored)
            arrays.token_logprobs.append(None)
            arrays.top_logprobs.append(None)
            continue
        name = _id_name(token_id) if names_ids else entry[token_id].decoded_token
        arrays.tokens.append(name)
        arrays.token_logprobs.append(finite_logprob(entry[token_id].logprob))
        arrays.top_logprobs.append(_by_id(entry) if names_ids else _by_text(token_id, entry))
    return arrays


def vllm_prompt_logprobs(
    entries: Sequence[Mapping[int, Logprob] | None],
) -> list[dict[str, PromptLogprob] | None]:
    """vLLM's `prompt_logprobs`: for each token, by token id, it and the most likely ones.

    Takes time with the length of the prompt: call it off the event loop.
    """
    return [
        None
        if entry is None
        else {str(token_id): _prompt_logprob(each) for token_id, each in entry.items()}
        for entry in entries
    ]


def _prompt_logprob(token: Logprob) -> PromptLogprob:
    # Not the constructor: it would check each of very many.
    return PromptLogprob.model_construct(
        logprob=finite_logprob(token.logprob), rank=token.rank, decoded_token=token.decoded_token
    )


def cut_entries(
    token_ids: Sequence[int], entries: Sequence[Mapping[int, Logprob] | None], *, num_top: int
) -> list[Mapping[int, Logprob] | None]:
    """Entries with fewer of the most likely tokens; the scored one stays."""
    return [
        entry and {each: entry[each] for each in (token_id, *_ranked(entry)[:num_top])}
        for token_id, entry in zip(token_ids, entries, strict=True)
    ]


def _by_text(chosen_id: int, entry: Mapping[int, Logprob]) -> dict[str, float]:
    """Log-probabilities by token text, the most likely first.

    Where two tokens have the same text, the chosen token keeps it and the other is named by its id.
    """
    by_text = {entry[chosen_id].decoded_token: chosen_id}
    for token_id, logprob in entry.items():
        if by_text.setdefault(logprob.decoded_token, token_id) != token_id:
            by_text[_id_name(token_id)] = token_id
    ranked = sorted(by_text.items(), key=lambda item: -finite_logprob(entry[item[1]].logprob))
    return {text: finite_logprob(entry[token_id].logprob) for text, token_id in ranked}


def _by_id(entry: Mapping[int, Logprob]) -> dict[str, float]:
    """The same by token id."""
    return {_id_name(each): finite_logprob(entry[each].logprob) for each in _ranked(entry)}


def _ranked(entry: Mapping[int, Logprob]) -> list[int]:
    """The ids, the most likely first."""
    return sorted(entry, key=lambda token_id: -entry[token_id].logprob)


def _id_name(token_id: int) -> str:
    return f"token_id:{token_id}"
