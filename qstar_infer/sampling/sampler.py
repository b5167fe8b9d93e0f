"""Samples tokens from logits: visible tokens with log-probabilities, and thought tokens."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from qstar_infer.sampling.logit_rows import BaseRows, score_tokens
from qstar_infer.sampling.logits_processing import process_logits
from qstar_infer.sampling.noise import VISIBLE_STREAM, pick_tokens, row_keys
from qstar_infer.sampling.pick_on_cpu import pick_on_cpu
from qstar_infer.step import SampledToken, ThoughtPick, VisiblePick

_ROWS_AT_ONCE = 16
"""Rows that are ranked at a time, to bound memory when a prompt is scored."""


class _Score(NamedTuple):
    """Log-probabilities of one row."""

    logprob: float
    """Of the chosen token."""
    top_logprob: float
    """Of the most likely token."""
    top_logprobs: list[tuple[int, float]]
    """Ids and log-probabilities of the most likely tokens, best first."""
    rank: int | None
    """Of a known token: 1 + the number of more likely ones."""


class _BaseScore(NamedTuple):
    """Log-probabilities of one row without the thought."""

    logprob: float
    top_logprobs: list[tuple[int, float]]

    @classmethod
    def of(cls, score: _Score, pick: VisiblePick) -> "_BaseScore":
        """Of a row without a thought, where both distributions are the same."""
        return cls(score.logprob, score.top_logprobs[: pick.num_base_top_logprobs])


_Scores = dict[int, _Score]
"""By row."""


def sample(
    logits: Tensor,
    picks: Sequence[VisiblePick],
    *,
    base: BaseRows,
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
        base: the base logits of the mixed rows.
        mixing_weights: one for each mixed row.
        thought_logits: `[thought rows, vocab]`, float32, delimiters at minus infinity.
        thought_picks: one for each thought row.

    Returns:
        A token for each of `picks`, and a token id for each of `thought_picks`.
    """
    if not picks and not thought_picks:
        return [], []
    unknown = [row for row, pick in enumerate(picks) if pick.known_id is None]
    sampling = [picks[row] for row in unknown]
    visible = logits if len(unknown) == len(picks) else logits[unknown]
    everything: list[VisiblePick | ThoughtPick] = [*sampling, *thought_picks]
    processed = process_logits(visible, sampling)
    picked = _pick(
        [processed, thought_logits],
        temperatures=[pick.temperature for pick in everything],
        seeds=[pick.seed for pick in everything],
        positions=[pick.position for pick in everything],
        stream_indices=[
            *[VISIBLE_STREAM] * len(sampling),
            *(pick.stream_index for pick in thought_picks),
        ],
    )
    of_unknown = iter(picked)
    token_ids = [next(of_unknown) if pick.known_id is None else pick.known_id for pick in picks]
    tokens = _scored(logits, picks, token_ids, base, mixing_weights)
    for row in _rows_without_token(processed, sampling):
        tokens[unknown[row]].fault = "no_token"
    return tokens, picked[len(sampling) :]


def _rows_without_token(processed: Tensor, picks: Sequence[VisiblePick]) -> list[int]:
    """The rows whose masks leave no token."""
    rows = [row for row, pick in enumerate(picks) if pick.allowed is not None or pick.banned_ids]
    if not rows:
        return []
    best: list[float] = processed[rows].amax(dim=-1).tolist()
    return [row for row, value in zip(rows, best, strict=True) if value == -math.inf]


def _scored(
    logits: Tensor,
    picks: Sequence[VisiblePick],
    token_ids: Sequence[int],
    base: BaseRows,
    mixing_weights: Sequence[float],
) -> list[SampledToken]:
    """The tokens, with log-probabilities where the pick may be final."""
    scores = _score(logits, token_ids, picks)
    num_base = len(picks) - len(mixing_weights)
    base_scores: list[_BaseScore] = []
    if mixing_weights:
        base_scores = _score_base(base, token_ids[num_base:], picks[num_base:])
    tokens = []
    for row in range(len(picks)):
        if row not in scores:
            tokens.append(SampledToken(token_id=token_ids[row]))
            continue
        score = scores[row]
        is_mixed = row >= num_base
        without = base_scores[row - num_base] if is_mixed else _BaseScore.of(score, picks[row])
        tokens.append(
            SampledToken(
                token_id=token_ids[row],
                logprob=score.logprob,
                base_logprob=without.logprob,
                mixing_weight=mixing_weights[row - num_base] if is_mixed else 0.0,
                top_logprobs=score.top_logprobs,
                base_top_logprobs=without.top_logprobs,
                top_logprob=score.top_logprob,
                rank=score.rank,
            )
        )
    return tokens


def _pick(
    parts: Sequence[Tensor],
    *,
    temperatures: list[float],
    seeds: list[int],
    positions: list[int],
    stream_indices: list[int],
) -> list[int]:
    """One token for each row of the parts, each `[rows, vocab]`."""
    keys = np.zeros(len(seeds), dtype=np.int64)
    if any(temperatures):
        keys = row_keys(*(np.array(each, np.int64) for each in (seeds, positions, stream_indices)))
    device = parts[0].device
    if device.type == "cpu":
        rows = [row for part in parts for row in part.numpy()]
        return pick_on_cpu(rows, temperatures, keys)
    heat = torch.tensor(temperatures, dtype=torch.float32, device=device)
    sampled: list[int] = pick_tokens(
        torch.cat(list(parts)), heat, torch.from_numpy(keys).to(device)
    ).tolist()
    return sampled


def _score(logits: Tensor, token_ids: Sequence[int], picks: Sequence[VisiblePick]) -> _Scores:
    """Log-probabilities of the rows whose pick may be final (`may_decide`)."""
    rows = [row for row, pick in enumerate(picks) if pick.may_decide]
    if not rows:
        return {}
    logprobs, tops = score_tokens(logits, rows, [token_ids[row] for row in rows])
    scores = {
        row: _Score(logprob, top, [], None)
        for row, logprob, top in zip(rows, logprobs, tops, strict=True)
    }
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        _rank_chosen_(scores, rows[first : first + _ROWS_AT_ONCE], logits, token_ids, picks)
    asking = [row for row in rows if picks[row].num_top_logprobs]
    counts = [picks[row].num_top_logprobs for row in asking]
    ranked = _ranked(BaseRows(logits, asking), counts, [scores[row].top_logprob for row in asking])
    for row, ranking in zip(asking, ranked, strict=True):
        scores[row] = scores[row]._replace(top_logprobs=ranking)
    return scores


def _score_base(
    base: BaseRows, token_ids: Sequence[int], picks: Sequence[VisiblePick]
) -> list[_BaseScore]:
    """Log-probabilities of tokens without their thoughts, and of as many others as are wanted."""
    logprobs, tops = score_tokens(base.logits, base.rows, token_ids)
    scores = [_BaseScore(logprob, []) for logprob in logprobs]
    asking = [place for place, pick in enumerate(picks) if pick.num_base_top_logprobs]
    rows = BaseRows(base.logits, [base.rows[place] for place in asking])
    counts = [picks[place].num_base_top_logprobs for place in asking]
    ranked = _ranked(rows, counts, [tops[place] for place in asking])
    for place, ranking in zip(asking, ranked, strict=True):
        scores[place] = scores[place]._replace(top_logprobs=ranking)
    return scores


def _rank_chosen_(
    scores: _Scores,
    rows: Sequence[int],
    logits: Tensor,
    token_ids: Sequence[int],
    picks: Sequence[VisiblePick],
) -> None:
    """Add the ranks of known tokens to their scores: 1 + the tokens with a higher logit."""
    known = [row for row in rows if picks[row].known_id is not None]
    if not known:
        return
    some = logits if len(known) == len(logits) else logits[known]
    ids = torch.tensor([token_ids[row] for row in known], device=logits.device)
    higher = (some > some.gather(1, ids.unsqueeze(1))).sum(dim=-1).tolist()
    for row, count in zip(known, higher, strict=True):
        scores[row] = scores[row]._replace(rank=count + 1)


def _ranked(
    wanted: BaseRows, counts: Sequence[int], tops: Sequence[float]
) -> list[list[tuple[int, float]]]:
    """The most likely tokens of some rows and their log-probabilities, best first.

    They are ranked by logit: log-probabilities are rounded once more, and may tie where logits do
    not.

    Args:
        wanted: rows of any logits, base or mixed.
        counts: how many tokens of each row.
        tops: log-probability of the most likely token of each row.
    """
    rankings: list[list[tuple[int, float]]] = []
    for first in range(0, len(counts), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        logits = BaseRows(wanted.logits, wanted.rows[some]).gathered()
        best = logits.topk(min(max(counts[some]), logits.shape[-1]), dim=-1)
        top = torch.tensor(tops[some], device=logits.device)
        logprobs = (best.values - best.values[:, :1]) + top.unsqueeze(1)
        for count, *ranked in zip(
            counts[some], best.indices.tolist(), logprobs.tolist(), strict=True
        ):
            rankings.append(list(zip(*ranked, strict=True))[:count])
    return rankings
