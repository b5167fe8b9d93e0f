"""Engine log-probabilities as the four arrays of the legacy `logprobs` object."""

from collections.abc import Mapping, Sequence

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import RequestError
from qstar_infer.outputs import CompletionOutput, Logprob
from qstar_server.completions.prompts import Prompt
from qstar_server.completions.protocol import Logprobs
from qstar_server.pieces import PieceReader, align
from qstar_server.wire import finite_logprob

MAX_REPEATED_SCORES = 2**18
"""Most scored prompt tokens in an answer whose choices repeat them: at most some 50 MB of JSON."""


def check_repeated_scores(num_prompt_tokens: int, *, n: int) -> None:
    """Refuse to repeat the scores of a long prompt in many choices: a short request for much.

    Raises:
        RequestError: as said.
    """
    if n > 1 and n * num_prompt_tokens > MAX_REPEATED_SCORES:
        raise RequestError(
            f"echo and logprobs would give the scores of {num_prompt_tokens} prompt tokens {n} "
            f"times; the most is {MAX_REPEATED_SCORES} scores. Lower n, or ask for them with n 1",
            param="n",
        )


class OutputOffsets:
    """Where each generated token begins, in characters of the choice's text.

    A token of a stop text that was cut off begins where it would have. Half a character begins
    where the character does.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: Prompt,
        *,
        start: int,
        skip_special_tokens: bool,
    ) -> None:
        self._reader = PieceReader(
            lambda ids: engine.decode(ids, skip_special_tokens=skip_special_tokens),
            prompt.token_ids,
        )
        self._next = start
        self._newest = start

    def of(self, delta: CompletionOutput) -> list[int]:
        """One offset for each token of the delta, which must be the next one of its choice."""
        offsets: list[int] = []
        for token_id in delta.token_ids:
            piece = self._reader.push(token_id)
            # Where bytes that were several U+FFFD become one character, offsets do not go back.
            self._newest = max(self._newest, self._next + piece.begin)
            offsets.append(self._newest)
            self._next += len(piece.text)
        return offsets


def prompt_logprobs(
    engine: Engine, prompt: Prompt, entries: Sequence[Mapping[int, Logprob] | None]
) -> Logprobs:
    """The arrays of an echoed prompt. Takes time with its length: call it off the event loop."""
    reader = PieceReader(lambda ids: engine.decode(ids, skip_special_tokens=False))
    offsets = align(prompt.text, [reader.push(token_id) for token_id in prompt.token_ids])
    first = engine.decode(prompt.token_ids[:1], skip_special_tokens=False)
    return legacy_logprobs(prompt.token_ids, entries, offsets, text_of_unscored=first)


def legacy_logprobs(
    token_ids: Sequence[int],
    entries: Sequence[Mapping[int, Logprob] | None],
    offsets: Sequence[int],
    *,
    text_of_unscored: str = "",
) -> Logprobs:
    """The four arrays; a token without an entry, as the first of a prompt, has nulls."""
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
    """By text, most likely first. The chosen token keeps its text where two tokens share it."""
    by_text = {entry[chosen_id].decoded_token: chosen_id}
    for token_id, logprob in entry.items():
        if by_text.setdefault(logprob.decoded_token, token_id) != token_id:
            by_text[f"token_id:{token_id}"] = token_id
    ranked = sorted(by_text.items(), key=lambda item: -finite_logprob(entry[item[1]].logprob))
    return {text: finite_logprob(entry[token_id].logprob) for text, token_id in ranked}
