"""What thoughts are worth on easy and on hard tokens: ten equal groups by difficulty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qstar_eval.bootstrap import Bootstrap, Estimate, Floats
from qstar_eval.held_out import have_same_tokens
from qstar_eval.task import Record

NUM_GROUPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyGroup:
    """Tokens of about the same difficulty. Losses are nats for each token."""

    number: int
    """From 1, the easiest."""
    num_tokens: int
    difficulty_low: float
    """Least and greatest difficulty among the tokens, nats."""
    difficulty_high: float
    loss_base: Estimate
    loss_mixed: Estimate
    gain: Estimate
    """`loss_base - loss_mixed`, paired."""


def difficulty_groups(
    records: Sequence[Record], judges: Sequence[Record], bootstrap: Bootstrap
) -> tuple[list[DifficultyGroup], bool]:
    """Group tokens by how hard they are to predict without thoughts.

    Args:
        records: of a held-out task, sorted by index.
        judges: records of the same units whose `base_losses` are the difficulties, so that the
            groups are the same for every checkpoint. Where their tokens differ, the records' own
            base losses are taken.

    Returns:
        The groups, fewer where there are fewer tokens than that, and whether `judges` judged.
        Intervals resample documents; which group a token is in stays as it is.
    """
    is_judged = have_same_tokens(records, judges)
    difficulties = _concatenated(judges if is_judged else records, "base_losses")
    documents = np.repeat(np.arange(len(records)), [len(r["base_losses"]) for r in records])
    groups = group_numbers(difficulties)
    losses = np.stack([_concatenated(records, name) for name in ("base_losses", "mixed_losses")])
    found = [
        _group(number, groups == number, difficulties, losses, documents, bootstrap)
        for number in range(1, NUM_GROUPS + 1)
        if (groups == number).any()
    ]
    return found, is_judged


def group_numbers(difficulties: Floats) -> NDArray[np.int64]:
    """The group of each token, from 1: equal in size to within one; ties by position.

    Args:
        difficulties: `[tokens]`.
    """
    ranks = np.empty(len(difficulties), dtype=np.int64)
    ranks[np.argsort(difficulties, kind="stable")] = np.arange(len(difficulties))
    numbers: NDArray[np.int64] = ranks * NUM_GROUPS // max(len(difficulties), 1) + 1
    return numbers


def _group(
    number: int,
    is_in: NDArray[np.bool_],
    difficulties: Floats,
    losses: Floats,
    documents: NDArray[np.int64],
    bootstrap: Bootstrap,
) -> DifficultyGroup:
    """
    Args:
        is_in, difficulties, documents: `[tokens]`.
        losses: `[2, tokens]`, base and mixed.
    """
    # Documents without a token of this group are drawn as well: they are units like the others.
    num_documents = int(documents.max()) + 1
    base, mixed, counts = (
        np.bincount(documents[is_in], values[is_in], num_documents).astype(np.float64)
        for values in (*losses, np.ones_like(difficulties))
    )
    return DifficultyGroup(
        number=number,
        num_tokens=int(is_in.sum()),
        difficulty_low=float(difficulties[is_in].min()),
        difficulty_high=float(difficulties[is_in].max()),
        loss_base=bootstrap.ratio(base, counts),
        loss_mixed=bootstrap.ratio(mixed, counts),
        gain=bootstrap.ratio(base - mixed, counts),
    )


def _concatenated(records: Sequence[Record], name: str) -> Floats:
    """A list of every record, end to end: `[tokens]`."""
    return np.concatenate([np.asarray(record[name], dtype=np.float64) for record in records])
