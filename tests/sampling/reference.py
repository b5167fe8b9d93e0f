"""The effect of a pick's settings on its logits, by definition, one row at a time.

`SamplingParams` is the definition. Shares are computed in float64, so where a share is within
`ROUNDING` of a border, float32 may decide either way.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from qstar_infer.step import VisiblePick

ROUNDING = 1e-5
"""Of shares and of their sums, all at most 1. float32 rounds each logit that is divided by the
temperature to 2**-24 of its size, at most about 60 here, and softmax adds some units of 2**-24."""

Row = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Processed:
    """The logits of a row after bias, bans and penalties, and which tokens the filters keep."""

    logits: Row
    """float32; kept logits must equal these, bit for bit."""
    must_keep: Row
    may_keep: Row


def process_row(logits: Row, pick: VisiblePick) -> Processed:
    row = change(logits.copy(), pick)
    everything = row > -np.inf
    if pick.temperature == 0:  # greedy: filters never remove the most likely token
        return Processed(logits=row, must_keep=everything, may_keep=everything)
    must_keep, may_keep = keep_likely(row, pick)
    return Processed(logits=row, must_keep=must_keep & everything, may_keep=may_keep & everything)


def change(row: Row, pick: VisiblePick) -> Row:
    """`logit_bias`, what may not come, then the penalties, in float32."""
    for token_id, bias in pick.logit_bias.items():
        row[token_id] += np.float32(bias)
    for byte, bits in enumerate(pick.allowed or b""):
        for token_id in range(8 * byte, min(8 * byte + 8, len(row))):
            if not bits >> token_id % 8 & 1:
                row[token_id] = -np.inf
    for token_id in pick.banned_ids:
        row[token_id] = -np.inf
    for token_id in set(pick.history):
        penalty = np.float32(pick.repetition_penalty)
        row[token_id] = row[token_id] / penalty if row[token_id] > 0 else row[token_id] * penalty
    for token_id, count in Counter(pick.history[pick.num_prompt_tokens :]).items():
        frequency = np.float32(pick.frequency_penalty) * np.float32(count)
        row[token_id] -= np.float32(pick.presence_penalty) + frequency
    return row


def keep_likely(row: Row, pick: VisiblePick) -> tuple[Row, Row]:
    """Tokens that `top_k`, then `top_p`, then `min_p` certainly keep, and those that they may keep.

    Tokens as likely as the last one that is kept stay as well.
    """
    kept = np.full(row.shape, True)
    if 0 < pick.top_k < len(row):
        kept = row >= np.sort(row)[-pick.top_k]
    scaled = np.where(kept, row / np.float32(pick.temperature), np.float32(-np.inf))
    share = np.exp(scaled.astype(np.float64) - scaled.max())
    share /= share.sum()
    must_keep, may_keep = kept.copy(), kept.copy()
    if pick.top_p < 1:
        more_likely = share_of_more_likely(scaled, share)
        must_keep &= more_likely < pick.top_p - ROUNDING
        may_keep &= more_likely < pick.top_p + ROUNDING
    if pick.min_p > 0:
        ratio = share / share.max()
        must_keep &= ratio >= pick.min_p + ROUNDING
        may_keep &= ratio >= pick.min_p - ROUNDING
    return must_keep, may_keep


def share_of_more_likely(scaled: Row, share: Row) -> Row:
    """For each token, the sum of the probabilities of all more likely tokens.

    A token belongs to the smallest set that reaches `top_p` where this is less than `top_p`.
    """
    best_first = np.argsort(-scaled)
    sums = np.concatenate([[0.0], np.cumsum(share[best_first])])
    num_more_likely = np.searchsorted(-scaled[best_first], -scaled, side="left")
    return sums[num_more_likely]
