"""Thoughts in a terminal, with the package rich (`pip install 'qstar-client[rich]'`).

    import rich
    from qstar_client.terminal import thoughts_view

    rich.print(thoughts_view(completion.choices[0]))

Texts of the model are never markup, and control characters are shown as signs.
"""

from collections.abc import Sequence
from typing import Protocol

try:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise ImportError(
        "qstar_client.terminal needs the package rich: pip install 'qstar-client[rich]'"
    ) from error

from qstar_client._answer_types import Thought
from qstar_client._signs import one_line, printable
from qstar_client._view.numbers import difference, rounded, share

__all__ = ["HasThoughts", "thoughts_view"]


class HasThoughts(Protocol):
    """A choice of a completion or a chat completion, or a response."""

    @property
    def thoughts(self) -> list[Thought] | None:
        """One entry for each visible token."""


def thoughts_view(answer: HasThoughts | Sequence[Thought]) -> Group:
    """A view for `rich.print`: the text coloured by mixing weight, and a table of its tokens.

    The table has each token's thought, its mixing weight, and the log-probability of the token
    without the thought (base) and with it (mixed).

    Args:
        answer: a choice of a completion or chat completion, a response, or a list of thoughts.

    Raises:
        ValueError: the answer has no thoughts, because the request had no `show_thoughts`.
    """
    thoughts = answer if isinstance(answer, Sequence) else answer.thoughts
    if thoughts is None:
        raise ValueError("the answer has no thoughts; request them with show_thoughts=True")
    return Group(_paragraph(thoughts), "", _table(thoughts))


def _paragraph(thoughts: Sequence[Thought]) -> Text:
    text = Text()
    for thought in thoughts:
        text.append(printable(thought.token), style=_colour(thought))
    return text


def _table(thoughts: Sequence[Thought]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("token", overflow="fold")
    table.add_column("thought", overflow="fold")
    for name in ("weight", "base", "mixed", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for thought in thoughts:
        table.add_row(
            Text(one_line(thought.token), style=_colour(thought)),
            Text(one_line(thought.thought)),
            rounded(thought.mixing_weight),
            rounded(thought.base_logprob),
            rounded(thought.logprob),
            difference(thought),
        )
    return table


def _colour(thought: Thought) -> str:
    """Black on a colour from pale to strong orange; the terminal's own colours at weight 0."""
    weight = share(thought)
    if weight < 0.005:
        return ""
    return f"black on rgb(255,{235 - round(105 * weight)},{205 - round(205 * weight)})"
