"""Where the windows of a batch are thought about, and how many numbers each mean is over.

Both are computed from token ids alone, so that every process knows them for the whole batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.sampling.noise import row_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRule:
    """`PlacesConfig`, with ids in place of the tokens' names."""

    behind_ids: tuple[int, ...]
    elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Positions to think at, in rising order; `[windows, places]` each.

    Windows with fewer places than others have fillers at the end. Each place has a next token.
    """

    anchors: Tensor
    """int64; 0 for a filler."""
    is_place: Tensor
    """bool, False for a filler."""
    is_marked: Tensor
    """bool: behind a token that the rule names. If it names none, every place."""

    def of_windows(self, windows: slice) -> "Places":
        """The places of some windows, without columns that are fillers in all of them."""
        is_place = self.is_place[windows]
        width = max(1, int(is_place.sum(1).max()))
        return Places(
            anchors=self.anchors[windows, :width],
            is_place=is_place[:, :width],
            is_marked=self.is_marked[windows, :width],
        )

    def to(self, device: torch.device) -> "Places":
        """The same on a device."""
        return Places(
            anchors=self.anchors.to(device),
            is_place=self.is_place.to(device),
            is_marked=self.is_marked.to(device),
        )


def choose_places(
    rule: PlaceRule | None, input_ids: Tensor, is_real: Tensor, window_indices: Tensor, *, seed: int
) -> Places:
    """Where a rule thinks in some windows; a function of each window, its number and the seed.

    Args:
        rule: None: at every position.
        input_ids: `[windows, seq]`, int64, right padded.
        is_real: `[windows, seq]`, bool, False at padding.
        window_indices: `[windows]`, int64: the windows' numbers in the stream.
        seed: of the run.
    """
    has_next = is_real & torch.nn.functional.pad(is_real[:, 1:], (0, 1))
    if rule is None:
        is_marked = is_chosen = has_next
    else:
        is_marked = has_next & torch.isin(input_ids, torch.tensor(rule.behind_ids))
        is_free = has_next & ~is_marked
        is_chosen = is_marked | _draw(is_free, rule.elsewhere, window_indices, seed=seed)
        if not rule.behind_ids:
            is_marked = is_chosen
    width = max(1, int(is_chosen.sum(1).max()))
    # Chosen positions first, each part in the order of the text.
    anchors = (~is_chosen).to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    is_place = is_chosen.gather(1, anchors)
    return Places(
        anchors=anchors * is_place,
        is_place=is_place,
        is_marked=is_marked.gather(1, anchors) & is_place,
    )


def _draw(is_free: Tensor, count: int, window_indices: Tensor, *, seed: int) -> Tensor:
    """Draw up to `count` free positions of each window: `[windows, seq]`, bool."""
    positions = torch.arange(is_free.shape[1]).expand_as(is_free)
    windows = window_indices.unsqueeze(1).expand_as(is_free)
    # Negative stream indices: thoughts have none.
    keys = row_keys(torch.full_like(windows, seed), windows, -1 - positions)
    keys = keys.masked_fill(~is_free, torch.iinfo(torch.int64).max)
    first = keys.argsort(dim=1)[:, :count]
    return torch.zeros_like(is_free).scatter(1, first, True) & is_free


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many numbers each mean of the objective is over.

    Windows of different lengths, or with different numbers of places, would make the mean over
    micro-batches differ from the mean over the batch. So each micro-batch divides its sums by the
    mean of these counts over the micro-batches of all processes.
    """

    tokens: float
    """Real tokens."""
    predicted: float
    """Tokens with one before them in their window."""
    places: tuple[float, ...]
    """Entry k - 1: places with k tokens after them. Empty without places."""
    marked: tuple[float, ...]
    """The same of marked places."""

    @classmethod
    def of(
        cls, is_real: Tensor, places: Places | None, *, num_ahead: int, num_parts: int = 1
    ) -> "Counts":
        """Count.

        Args:
            is_real: `[windows, seq]`, bool.
            places: of the same windows.
            num_ahead: the most tokens after a place that are asked for.
            num_parts: micro-batches that the windows are divided into.
        """
        lengths = is_real.sum(1)
        tokens = int(lengths.sum())
        kinds: list[tuple[float, ...]] = [(), ()]
        if places is not None:
            ahead = lengths.unsqueeze(1) - 1 - places.anchors
            kinds = [
                _at_least(ahead[kind], num_ahead, num_parts)
                for kind in (places.is_place, places.is_marked)
            ]
        return cls(
            tokens=tokens / num_parts,
            predicted=(tokens - len(lengths)) / num_parts,
            places=kinds[0],
            marked=kinds[1],
        )


def _at_least(ahead: Tensor, num_ahead: int, num_parts: int) -> tuple[float, ...]:
    """Entry k - 1: how many entries are k or more, divided by the parts."""
    exactly = torch.bincount(ahead.clamp(max=num_ahead), minlength=num_ahead + 1)
    at_least = exactly.flip(0).cumsum(0).flip(0)[1:]
    return tuple(count / num_parts for count in at_least.tolist())
