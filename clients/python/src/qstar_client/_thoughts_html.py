"""Thoughts as HTML for notebooks: inline styles, no script, no address, every text escaped.

Colours are translucent over the page's own background, and the text has the page's own colour, so
that it can be read in light and dark themes alike.
"""

import html
from collections.abc import Sequence

from qstar_client._answer_types import Thought
from qstar_client._signs import one_line, printable
from qstar_client._thought_numbers import difference, rounded, share

_FONT = "font-family:ui-monospace,monospace;font-size:0.9em"
_CELL = "padding:1px 8px;border-bottom:1px solid rgba(128,128,128,0.25)"
_TOKEN_CELL = f"{_CELL};text-align:left;white-space:pre-wrap;overflow-wrap:break-word"
_THOUGHT_CELL = f"{_CELL};text-align:left;white-space:pre-wrap;overflow-wrap:anywhere"
_NUMBER_CELL = f"{_CELL};text-align:right;white-space:nowrap"
_STRONGEST_ALPHA = 0.55
_MAX_OPEN_ROWS = 64
"""A longer table is folded until it is clicked."""


def thoughts_html(choices: Sequence[Sequence[Thought] | None]) -> str | None:
    """The thoughts of an answer, one table for each choice that has some; None without any.

    Each token is coloured by its mixing weight. A notebook shows None in its usual way.
    """
    shown = {index: thoughts for index, thoughts in enumerate(choices) if thoughts}
    if not shown:
        return None
    labels = {index: f"Choice {index}: " if len(choices) > 1 else "" for index in shown}
    return "".join(
        f"<div>{_paragraph(thoughts)}{_table(thoughts, labels[index])}</div>"
        for index, thoughts in shown.items()
    )


def _paragraph(thoughts: Sequence[Thought]) -> str:
    """The whole text; a pointer at a token shows its thought."""
    spans = "".join(
        f'<span title="{_escaped(_hint(each))}" style="{_colour(each)}">'
        f"{html.escape(printable(each.token))}</span>"
        for each in thoughts
    )
    return f'<p style="{_FONT};white-space:pre-wrap;overflow-wrap:anywhere">{spans}</p>'


def _table(thoughts: Sequence[Thought], label: str) -> str:
    names = ("token", "thought", "weight", "base", "mixed", "change")
    head = "".join(
        f'<th scope="col" style="{_CELL};text-align:{"left" if i < 2 else "right"}">{name}</th>'
        for i, name in enumerate(names)
    )
    rows = "".join(_row(each) for each in thoughts)
    summary = (
        f"{label}{len(thoughts)} tokens, each with its thought, the thought's weight (colour), and "
        "the token's log-probability without (base) and with it (mixed)"
    )
    return (
        f"<details{' open' if len(thoughts) <= _MAX_OPEN_ROWS else ''}>"
        f'<summary style="opacity:0.75">{summary}</summary>'
        f'<table style="{_FONT};border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _row(thought: Thought) -> str:
    token_style = f"{_TOKEN_CELL};{_colour(thought)}"
    texts = [(thought.token, token_style), (thought.thought, _THOUGHT_CELL)]
    numbers = (
        rounded(thought.mixing_weight),
        rounded(thought.base_logprob),
        rounded(thought.logprob),
        difference(thought),
    )
    cells = [f'<td style="{style}">{_escaped(text)}</td>' for text, style in texts]
    cells += [f'<td style="{_NUMBER_CELL}">{number}</td>' for number in numbers]
    return f"<tr>{''.join(cells)}</tr>"


def _hint(thought: Thought) -> str:
    if not thought.thought_token_ids:
        return "no thought"
    return f"{thought.thought} (weight {rounded(thought.mixing_weight)}, {difference(thought)})"


def _escaped(text: str) -> str:
    return html.escape(one_line(text))


def _colour(thought: Thought) -> str:
    alpha = round(_STRONGEST_ALPHA * share(thought), 2)
    return f"background-color:rgba(240,140,0,{alpha:g})"
