"""Samples tokens from logits: visible tokens with log-probabilities, and thought tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.sampling.logits_processing import process_logits
from qstar_infer.sampling.noise import VISIBLE_STREAM, pick_tokens, row_keys
from qstar_infer.step import SampledToken, ThoughtPick, VisiblePick

_Scores = dict[int, tuple[float, list[tuple[int, float]]]]
"""By row: log-probability of the chosen token; ids and log-probabilities of the top tokens."""


def sample(
    logits: Tensor,
    picks: Sequence[VisiblePick],
    *,
    base_logits: Tensor,
    mixing_weights: Sequence[float],
    thought_logits: Tensor,
    thought_picks: Sequence[ThoughtPick],
) -> tuple[list[SampledToken], list[int]]:
    """Sample all tokens of a step.

    Thought tokens have a temperature, but no filters or penalties. They are sampled together with
    the visible ones: of a small model the sampling of a few rows costs as much as a layer.

    Args:
        logits: `[rows, vocab]`, float32, delimiters at minus infinity: rows of base logits, then
            rows of mixed logits.
        picks: one for each row: to sample a token, or to score the next one if it is known.
        base_logits: `[mixed rows, vocab]`, float32: the base logits of the mixed rows.
        mixing_weights: one for each mixed row.
        thought_logits: `[thought rows, vocab]`, float32, delimiters at minus infinity.
        thought_picks: one for each thought row.

    Returns:
        A token for each of `picks`, and a token id for each of `thought_picks`.
    """
    if not picks and not thought_picks:
        return [], []
    parts = [process_logits(logits, picks)] if picks else []
    parts += [thought_logits] if thought_picks else []
    everything: list[VisiblePick | ThoughtPick] = [*picks, *thought_picks]
    picked = _pick(
        parts[0] if len(parts) == 1 else torch.cat(parts),
        temperatures=[pick.temperature for pick in everything],
        seeds=[pick.seed for pick in everything],
        positions=[pick.position for pick in everything],
        stream_indices=[
            *[VISIBLE_STREAM] * len(picks),
            *(pick.stream_index for pick in thought_picks),
        ],
    )
    token_ids = [
        picked[row] if pick.known_id is None else pick.known_id for row, pick in enumerate(picks)
    ]
    tokens = _scored(logits, picks, token_ids, base_logits, mixing_weights)
    return tokens, picked[len(picks) :]


def _scored(
    logits: Tensor,
    picks: Sequence[VisiblePick],
    token_ids: Sequence[int],
    base_logits: Tensor,
    mixing_weights: Sequence[float],
) -> list[SampledToken]:
    """The tokens, with log-probabilities where the pick may be final."""
    scores = _score(logits, token_ids, picks)
    num_base = len(picks) - len(mixing_weights)
    base_logprobs = _logprobs(base_logits, token_ids[num_base:]) if mixing_weights else []
    tokens = []
    for row, pick in enumerate(picks):
        if row not in scores:
            tokens.append(SampledToken(token_id=token_ids[row]))
            continue
        logprob, top_logprobs = scores[row]
        is_mixed = row >= num_base
        tokens.append(
            SampledToken(
                token_id=token_ids[row],
                logprob=logprob,
                base_logprob=base_logprobs[row - num_base] if is_mixed else logprob,
                mixing_weight=mixing_weights[row - num_base] if is_mixed else 0.0,
                top_logprobs=top_logprobs[: pick.num_top_logprobs],
                top_logprob=top_logprobs[0][1],
            )
        )
    return tokens


def _pick(
    logits: Tensor,
    *,
    temperatures: list[float],
    seeds: list[int],
    positions: list[int],
    stream_indices: list[int],
) -> list[int]:
    """One token for each row of `[rows, vocab]`."""
    device = logits.device

    def column(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    if not any(temperatures):
        greedy: list[int] = logits.argmax(dim=-1).tolist()
        return greedy
    keys = row_keys(column(seeds), column(positions), column(stream_indices))
    heat = torch.tensor(temperatures, dtype=torch.float32, device=device)
    sampled: list[int] = pick_tokens(logits, heat, keys).tolist()
    return sampled


def _score(logits: Tensor, token_ids: Sequence[int], picks: Sequence[VisiblePick]) -> _Scores:
    """Log-probabilities of the rows whose pick may be final (`may_decide`)."""
    rows = [row for row, pick in enumerate(picks) if pick.may_decide]
    if not rows:
        return {}
    selected = logits if len(rows) == logits.shape[0] else logits[rows]
    total = selected.logsumexp(dim=-1, keepdim=True)
    count = min(max(1, *(picks[row].num_top_logprobs for row in rows)), logits.shape[-1])
    best = selected.topk(count, dim=-1)
    best_ids, best_logprobs = best.indices.tolist(), (best.values - total).tolist()
    chosen = selected.gather(1, _id_column([token_ids[row] for row in rows], logits)) - total
    return {
        row: (logprob, list(zip(best_ids[i], best_logprobs[i], strict=True)))
        for i, (row, logprob) in enumerate(zip(rows, chosen.squeeze(1).tolist(), strict=True))
    }


def _logprobs(logits: Tensor, token_ids: Sequence[int]) -> list[float]:
    """Natural log-probability of one token for each row."""
    chosen = logits.gather(1, _id_column(token_ids, logits)).squeeze(1)
    values: list[float] = (chosen - logits.logsumexp(dim=-1)).tolist()
    return values


def _id_column(token_ids: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor([[token_id] for token_id in token_ids], device=like.device)
