"""Applies biases, masks, penalties and filters to the logits of visible tokens, all rows at once.

Drafts and targets are processed in the same way and with the same history, so that equal
distributions give equal tokens. Thought tokens are not processed. The result of a row does not
depend on the other rows: the order of additions within a row is the same for any number of rows.

Legend: F rows that need processing, V tokens of the vocabulary.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from qstar_infer.step import VisiblePick

_FIRST_CANDIDATES = 1024
"""Number of tokens that `top_p` sorts first. Nearly always enough, and much cheaper than all."""


def process_logits(logits: Tensor, picks: Sequence[VisiblePick]) -> Tensor:
    """Apply biases, masks, penalties and filters. The sampler applies the temperature.

    Args:
        logits: `[rows, V]`, float32, delimiters at minus infinity. Not written to.
        picks: one for each row.

    Returns:
        `[rows, V]`, float32; the input itself if no row needs processing.
    """
    rows = [row for row, pick in enumerate(picks) if _needs_processing(pick)]
    if not rows:
        return logits
    asking = [picks[row] for row in rows]
    processed = logits[rows]
    _add_biases_(processed, asking)
    _keep_allowed_(processed, asking)
    _ban_(processed, asking)
    _penalise_repetition_(processed, asking)
    _penalise_presence_and_frequency_(processed, asking)
    _keep_top_k_(processed, asking)
    _keep_top_p_(processed, asking)
    _keep_min_p_(processed, asking)
    if len(rows) == len(picks):
        return processed
    result = logits.clone()
    result[rows] = processed
    return result


def _needs_processing(pick: VisiblePick) -> bool:
    has_rules = bool(pick.history or pick.logit_bias or pick.banned_ids)
    return has_rules or pick.allowed is not None or _has_filter(pick)


def _has_filter(pick: VisiblePick) -> bool:
    """False for greedy picks, because no filter removes the most likely token."""
    return pick.temperature > 0 and (pick.top_k > 0 or pick.top_p < 1.0 or pick.min_p > 0.0)


# --- biases, masks and penalties ----------------------------------------------------------------


def _add_biases_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    index = _index(logits, [pick.logit_bias for pick in picks])
    if index is not None:
        biases = [bias for pick in picks for bias in pick.logit_bias.values()]
        logits[index] += torch.tensor(biases, dtype=logits.dtype, device=logits.device)


def _keep_allowed_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    rows = [row for row, pick in enumerate(picks) if pick.allowed is not None]
    if not rows:
        return
    size = logits.shape[1]
    packed = b"".join(pick.allowed for pick in picks if pick.allowed is not None)
    bits = np.frombuffer(packed, dtype=np.uint8).reshape(len(rows), -1)
    is_allowed = np.unpackbits(bits, axis=1, count=size, bitorder="little").astype(bool)
    is_banned = torch.from_numpy(~is_allowed).to(logits.device)
    logits[rows] = logits[rows].masked_fill(is_banned, -math.inf)


def _ban_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    index = _index(logits, [pick.banned_ids for pick in picks])
    if index is not None:
        logits[index] = -math.inf


def _penalise_repetition_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    index = _index(
        logits, [pick.history if pick.repetition_penalty != 1.0 else () for pick in picks]
    )
    if index is not None:
        penalty = _column(logits, picks, lambda pick: pick.repetition_penalty)[index[0], 0]
        seen = logits[index]
        # A token that occurs twice is written twice with the same value.
        logits[index] = torch.where(seen > 0, seen / penalty, seen * penalty)


def _penalise_presence_and_frequency_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    index = _index(logits, [pick.history[pick.num_prompt_tokens :] for pick in picks])
    if index is None:
        return
    counts = torch.zeros_like(logits)
    counts.index_put_(index, torch.ones(1, device=logits.device), accumulate=True)
    presence = _column(logits, picks, lambda pick: pick.presence_penalty)
    frequency = _column(logits, picks, lambda pick: pick.frequency_penalty)
    logits -= torch.where(counts > 0, presence + frequency * counts, 0.0)


# --- filters; tokens that tie with the last one kept are kept -----------------------------------


def _keep_top_k_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    size = logits.shape[1]
    counts = [min(pick.top_k, size) if _has_filter(pick) else 0 for pick in picks]
    if not any(counts):
        return
    best = logits.topk(max(counts), dim=-1).values
    last = torch.tensor([max(0, count - 1) for count in counts], device=logits.device)
    lowest = best.gather(1, last.unsqueeze(1))
    is_off = torch.tensor([count == 0 for count in counts], device=logits.device)
    lowest.masked_fill_(is_off.unsqueeze(1), -math.inf)
    logits.masked_fill_(logits < lowest, -math.inf)


def _keep_top_p_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    """Keep the smallest set of most likely tokens whose probability reaches `top_p`."""
    rows = [row for row, pick in enumerate(picks) if pick.top_p < 1.0 and _has_filter(pick)]
    if not rows:
        return
    asking = [picks[row] for row in rows]
    scaled = logits[rows] / _column(logits, asking, lambda pick: pick.temperature)
    lowest = _lowest_in_top_p(scaled, _column(logits, asking, lambda pick: pick.top_p))
    logits[rows] = logits[rows].masked_fill(scaled < lowest, -math.inf)


def _lowest_in_top_p(scaled: Tensor, top_p: Tensor) -> Tensor:
    """The lowest logit to keep, `[F, 1]`, for `scaled` of `[F, V]` and `top_p` of `[F, 1]`."""
    best, is_reached = _most_likely(scaled, top_p, min(_FIRST_CANDIDATES, scaled.shape[1]))
    lowest = best.gather(1, is_reached.int().argmax(dim=-1, keepdim=True))
    short = (~is_reached.any(dim=-1)).nonzero().squeeze(1)
    if short.numel() > 0:  # flat distributions: sort all tokens
        best, is_reached = _most_likely(scaled[short], top_p[short], scaled.shape[1])
        is_reached[:, -1] = True  # the rounded sum may stay below `top_p`
        lowest[short] = best.gather(1, is_reached.int().argmax(dim=-1, keepdim=True))
    return lowest


def _most_likely(scaled: Tensor, top_p: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest logits, and whether the probabilities up to each reach `top_p`.

    Uses softmax and not logsumexp. torch's logsumexp adds up one row alone in another order than
    several rows, but a request's tokens must not depend on the rest of the batch.
    """
    best = scaled.topk(count, dim=-1)
    probabilities = scaled.softmax(dim=-1).gather(1, best.indices)
    return best.values, probabilities.cumsum(dim=-1) >= top_p


def _keep_min_p_(logits: Tensor, picks: Sequence[VisiblePick]) -> None:
    """Keep tokens at least `min_p` times as likely as the most likely one."""
    if not any(pick.min_p > 0.0 and _has_filter(pick) for pick in picks):
        return

    def margin(pick: VisiblePick) -> float:
        is_on = pick.min_p > 0.0 and _has_filter(pick)
        return math.log(pick.min_p) * pick.temperature if is_on else -math.inf

    lowest = logits.amax(dim=-1, keepdim=True) + _column(logits, picks, margin)
    logits.masked_fill_(logits < lowest, -math.inf)


# --- tensors from picks -------------------------------------------------------------------------


def _column(
    logits: Tensor, picks: Sequence[VisiblePick], value: Callable[[VisiblePick], float]
) -> Tensor:
    """One number for each pick, `[F, 1]`."""
    values = [[value(pick)] for pick in picks]
    return torch.tensor(values, dtype=logits.dtype, device=logits.device)


def _index(
    logits: Tensor, ids_of_rows: Sequence[Sequence[int] | dict[int, float]]
) -> tuple[Tensor, Tensor] | None:
    """Row and column of every id, for indexing `[F, V]`; None if there are no ids."""
    if not any(ids_of_rows):
        return None
    lengths = torch.tensor([len(ids) for ids in ids_of_rows], device=logits.device)
    rows = torch.arange(len(ids_of_rows), device=logits.device).repeat_interleave(lengths)
    ids = [token_id for ids in ids_of_rows for token_id in ids]
    return rows, torch.tensor(ids, dtype=torch.int64, device=logits.device)
