"""How often a sequence's drafts equal their targets: the share that speculation depends on."""

from dataclasses import dataclass

_PRIOR_COUNT = 16
"""A prior share counts as much as this many drafts."""
_MOST_COUNTED = 128
"""Beyond this many drafts, older ones lose weight, because a text changes."""


@dataclass(slots=True)
class Agreement:
    """Counts of drafts that were compared with their targets, fed early or not."""

    num_kept: float = 0.0
    num_compared: float = 0.0

    def note(self, is_kept: bool) -> None:
        if self.num_compared >= _MOST_COUNTED:
            self.num_kept /= 2
            self.num_compared /= 2
        self.num_kept += is_kept
        self.num_compared += 1

    def share(self, prior: float) -> float:
        """Expected share of right drafts, between 0 and 1.

        Args:
            prior: what to expect of a sequence without drafts.
        """
        return (self.num_kept + _PRIOR_COUNT * prior) / (self.num_compared + _PRIOR_COUNT)
