"""What is computed from rows of logits: whether they are finite, mixtures, log-probabilities.

On a CPU, in C if there is a compiler: behind a pass through the model, torch's operations have to
be read from memory again, and cost more than the work for a few rows.

Legend: V tokens of the vocabulary.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from qstar_infer.sampling.logit_rows_library import (
    KINDS,
    Check,
    LogitRowsLibrary,
    Mix,
    Score,
    load_logit_rows,
)

_ROWS_AT_ONCE = 16
"""Rows that torch scores at a time, to bound memory when a prompt is scored."""


class BaseRows(NamedTuple):
    """Rows of base logits, where they lie: in the lane buffers, or any other tensor."""

    logits: Tensor
    """`[any, V]`."""
    rows: Sequence[int]

    def gathered(self) -> Tensor:
        """`[rows, V]`, float32: a copy."""
        return self.logits[list(self.rows)].float()


def check_and_mask_(logits: Tensor, masked_ids: Tensor) -> list[bool]:
    """Say of each row whether all of its logits are finite. Then mask tokens, in place.

    Args:
        logits: `[rows, V]`, float32. Afterwards minus infinity at the masked tokens.
        masked_ids: `[masked]`, int32, on the same device.
    """
    library = _library(logits)
    if library is None:
        is_finite: list[bool] = logits.sum(dim=-1).isfinite().tolist()
        _mask_(logits, masked_ids)
        return is_finite
    count, vocab_size = logits.shape
    found = array("b", bytes(count))
    arguments = Check(
        logits=logits.data_ptr(),
        masked=masked_ids.data_ptr(),
        is_finite=_address(found),
        stride=logits.stride(0),
        vocab=vocab_size,
        num_masked=len(masked_ids),
    )
    library.check_and_mask(arguments, count)
    return [each != 0 for each in found]


def mix_(thought_logits: Tensor, base: BaseRows, weights: Tensor, masked_ids: Tensor) -> None:
    """Mix each row of thought logits with its base logits, in place; then mask tokens.

    The numbers are those of `mix_logits`, bit by bit.

    Args:
        thought_logits: `[rows, V]`, float32; afterwards the mixed logits.
        base: one row for each.
        weights: `[rows]`, float32: the share of the thought.
        masked_ids: `[masked]`, int32, on the same device.
    """
    library = _library(thought_logits, base.logits)
    if library is None:
        thought_logits.copy_(mix_logits(base.gathered(), thought_logits, weights))
        _mask_(thought_logits, masked_ids)
        return
    rows, weights = array("q", base.rows), weights.contiguous()
    arguments = Mix(
        thoughts=thought_logits.data_ptr(),
        base=base.logits.data_ptr(),
        base_rows=_address(rows),
        weights=weights.data_ptr(),
        masked=masked_ids.data_ptr(),
        stride=thought_logits.stride(0),
        base_stride=base.logits.stride(0),
        vocab=thought_logits.shape[1],
        num_masked=len(masked_ids),
        base_kind=KINDS[base.logits.dtype],
    )
    library.mix(arguments, len(rows))


def mix_logits(base_logits: Tensor, thought_logits: Tensor, mixing_weight: Tensor) -> Tensor:
    """`(1 - w) base + w thought` (paper, section 4.3); exactly base where w is 0.

    Args:
        base_logits, thought_logits: `[..., vocab]`, float32.
        mixing_weight: `[...]`, float32.

    Returns:
        `[..., vocab]`, float32.
    """
    share = mixing_weight.unsqueeze(-1)
    mixed = (1 - share) * base_logits
    return mixed.add_(share * thought_logits)  # in place: a third less memory


def score_tokens(
    logits: Tensor, rows: Sequence[int], token_ids: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Natural log-probabilities of one token of each row, and of the row's most likely token.

    Args:
        logits: `[any, V]`.
        rows: of the logits.
        token_ids: one for each of them.
    """
    library = _library(logits)
    if library is None:
        return _score_by_torch(logits, rows, token_ids)
    indices, tokens = array("q", rows), array("q", token_ids)
    logprobs, tops = (array("f", bytes(4 * len(rows))) for _ in range(2))
    arguments = Score(
        logits=logits.data_ptr(),
        rows=_address(indices),
        tokens=_address(tokens),
        logprobs=_address(logprobs),
        tops=_address(tops),
        stride=logits.stride(0),
        vocab=logits.shape[1],
        kind=KINDS[logits.dtype],
    )
    library.score(arguments, len(rows))
    return logprobs.tolist(), tops.tolist()


def _score_by_torch(
    logits: Tensor, rows: Sequence[int], token_ids: Sequence[int]
) -> tuple[list[float], list[float]]:
    logprobs: list[float] = []
    tops: list[float] = []
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        chosen = BaseRows(logits, rows[some]).gathered()
        ids = torch.tensor(token_ids[some], dtype=torch.int64, device=logits.device)
        # Not logsumexp, whose bits depend on the number of rows.
        best, top = chosen.amax(dim=-1), chosen.log_softmax(dim=-1).amax(dim=-1)
        logprobs += ((chosen.gather(1, ids.unsqueeze(1)).squeeze(1) - best) + top).tolist()
        tops += top.tolist()
    return logprobs, tops


def _library(*rows: Tensor) -> LogitRowsLibrary | None:
    """The library in C if it can read these tensors; None: torch must."""
    for each in rows:
        if each.device.type != "cpu" or each.dtype not in KINDS or each.stride(-1) != 1:
            return None
    return load_logit_rows()


def _address(numbers: "array[int] | array[float]") -> int:
    return numbers.buffer_info()[0]


def _mask_(logits: Tensor, masked_ids: Tensor) -> None:
    if len(masked_ids):
        logits.index_fill_(1, masked_ids.long(), float("-inf"))
