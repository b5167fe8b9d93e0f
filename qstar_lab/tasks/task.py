"""What a task of the lab is: problems with their working, and how they are written."""

import re
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

    @property
    def prompt(self) -> str:
        """The question as text."""
        return "".join(self.question)


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

    def solve(self, prompt: str) -> Problem:
        """The problem whose question this text is.

        Raises:
            ValueError: the text is no question of this task; the message says why.
        """


def split(task: Task, text: str) -> tuple[str, ...]:
    """Split a text into tokens, as the task's tokenizer does.

    Raises:
        ValueError: a part of the text is no token of the task.
    """
    tokens = tuple(re.findall(task.pattern, text, flags=re.DOTALL))
    unknown = [token for token in tokens if token not in task.tokens]
    if unknown:
        raise ValueError(f"{unknown[0]!r} in {text!r} is no token of {task.name}")
    return tokens


def direct_text(problem: Problem) -> str:
    """Question and answer, without working."""
    return f"{problem.prompt}{problem.answer}"


def visible_text(task: Task, problem: Problem, num_steps: int) -> str:
    """Question, the first steps of the working, and the answer.

    Args:
        num_steps: how many steps are written, from 1 to `task.max_size`. If they do not reach the
            answer, a reader has to do the others himself.
    """
    working = "".join(problem.working[:num_steps])
    return f"{problem.prompt}{task.start}{working}{task.end}{problem.answer}"
