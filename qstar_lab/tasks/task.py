"""What a task of the lab is: problems with their working, and how they are written."""

from dataclasses import dataclass
from random import Random
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem, in the tokens of its task."""

    question: tuple[str, ...]
    """Ends with the marker that a thought follows."""
    working: tuple[str, ...]
    """The steps to the answer; the longest thought length of the task."""
    answer: str
    """One token."""
    size: int
    """Number of steps that matter, from 1."""


class Task(Protocol):
    """A kind of problem."""

    name: str
    marker: str
    """Ends each question."""
    start: str
    """Begins visible working; the start vector's first value is its embedding."""
    end: str
    """Ends visible working; likewise for the end vector."""
    tokens: tuple[str, ...]
    """The vocabulary, `<eos>` and `<unk>` first."""
    pattern: str
    """Regular expression that splits text into these tokens."""
    thought_lengths: tuple[int, ...]
    """What the model learns to think, ascending."""
    max_size: int
    chance: float
    """Share of right answers by the best guess without working."""

    def draw(self, random: Random, *, held_out: bool) -> Problem:
        """Draw a problem. Held-out problems and the others have no question in common."""
