"""Cuts the picks of a step into slices, so that few rows of logits exist at the same time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qstar_infer.step import StepBatch, ThoughtPick, VisiblePick

MOST_LOGITS_BYTES = 16 * 2**20
"""Most bytes of float32 logits in a slice: 85 rows of the default model, 27 of a vocabulary of
151,936. Larger slices are slower, because for them glibc gets new pages from the system each time;
smaller ones, because the output layer is read more often."""

_BYTES_OF_LOGIT = 4
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PickSlice:
    """Adjacent picks of a step, in the order of `StepBatch.pick_rows`."""

    span: slice
    """Their indices among all picks of the step."""
    base: Sequence[VisiblePick]
    targets: Sequence[VisiblePick]
    thoughts: Sequence[ThoughtPick]


def pick_slices(batch: StepBatch, *, vocab_size: int) -> Iterator[PickSlice]:
    """Slices of about the same size that cover all picks; none if there are no picks."""
    num_base = len(batch.base_picks)
    num_visible = num_base + len(batch.target_picks)
    num_picks = num_visible + len(batch.thought_picks)
    most = max(1, MOST_LOGITS_BYTES // (_BYTES_OF_LOGIT * vocab_size))
    num_slices = -(-num_picks // most)
    for number in range(num_slices):
        begin, end = (num_picks * each // num_slices for each in (number, number + 1))
        yield PickSlice(
            span=slice(begin, end),
            base=_between(batch.base_picks, begin, end),
            targets=_between(batch.target_picks, begin - num_base, end - num_base),
            thoughts=_between(batch.thought_picks, begin - num_visible, end - num_visible),
        )


def _between(picks: Sequence[_T], begin: int, end: int) -> Sequence[_T]:
    """The picks with these indices; indices outside of the list have none."""
    return picks[max(0, begin) : max(0, end)]
