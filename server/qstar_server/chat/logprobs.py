"""Engine log-probabilities in the form of chat."""

from collections.abc import Callable, Mapping, Sequence

from qstar_infer.outputs import Logprob
from qstar_server.chat.protocol import ChatLogprobs, TokenLogprob, TopLogprob
from qstar_server.logprobs import finite_logprob


def chat_logprobs(
    token_ids: Sequence[int],
    entries: Sequence[Mapping[int, Logprob]],
    *,
    num_top: int,
    token_bytes: Callable[[int], bytes],
    names_ids: bool,
) -> ChatLogprobs:
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

    content: list[TokenLogprob] = []
    for token_id, entry in zip(token_ids, entries, strict=True):
        chosen = named(token_id, entry[token_id])
        likely = sorted(entry, key=lambda each: -entry[each].logprob)[:num_top]
        content.append(
            TokenLogprob(
                token=chosen.token,
                logprob=chosen.logprob,
                bytes=chosen.bytes,
                top_logprobs=[named(each, entry[each]) for each in likely],
            )
        )
    return ChatLogprobs(content=content, refusal=None)
