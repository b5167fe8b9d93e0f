"""Log-probabilities as a list with one entry for each token, as in chat and responses."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel

from qstar_infer.outputs import Logprob
from qstar_server.generation.logprobs import finite_logprob

TokenBytes = Callable[[int], bytes]
"""The bytes of a token."""


class TopLogprob(BaseModel):
    """A token and its log-probability."""

    token: str
    logprob: float
    bytes: list[int]
    """The token's own bytes, which may be a part of a character."""


class TokenLogprob(TopLogprob):
    """A generated token, with the most likely ones at its place."""

    top_logprobs: list[TopLogprob]


def token_logprobs(
    token_ids: Sequence[int],
    entries: Sequence[Mapping[int, Logprob]],
    *,
    num_top: int,
    token_bytes: TokenBytes,
    names_ids: bool,
) -> list[TokenLogprob]:
    """One entry for each token.

    Args:
        entries: for each token, itself and the most likely ones; may hold more than are shown.
        num_top: how many of the most likely tokens to show.
        names_ids: name each token "token_id:..." instead of by its text.
    """

    def named(token_id: int, logprob: Logprob) -> TopLogprob:
        return TopLogprob(
            token=f"token_id:{token_id}" if names_ids else logprob.decoded_token,
            logprob=finite_logprob(logprob.logprob),
            bytes=list(token_bytes(token_id)),
        )

    shown: list[TokenLogprob] = []
    for token_id, entry in zip(token_ids, entries, strict=True):
        chosen = named(token_id, entry[token_id])
        likely = sorted(entry, key=lambda each: -entry[each].logprob)[:num_top]
        shown.append(
            TokenLogprob(
                token=chosen.token,
                logprob=chosen.logprob,
                bytes=chosen.bytes,
                top_logprobs=[named(each, entry[each]) for each in likely],
            )
        )
    return shown
