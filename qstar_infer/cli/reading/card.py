"""What is shown under a token: its thought, and what the thought changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prompt_toolkit.utils import get_cwidth

from qstar_infer.cli.reading.layout import wrapped
from qstar_infer.cli.shade import change_of
from qstar_infer.cli.terminal import one_line
from qstar_infer.outputs import Thought, TopLogprob

_BAR = "█"
_BAR_COLUMNS = 10
_LIST_COLUMNS = 36
"""Two lists stand side by side where there is room for both."""
_TOKEN_COLUMNS = 14


@dataclass(frozen=True, slots=True)
class CardLine:
    """A line of a card; `is_thought` is true for what the model thought."""

    text: str
    is_thought: bool = False


def card_lines(thought: Thought, width: int) -> list[CardLine]:
    """The card of a token, in lines of at most `width` columns."""
    lines = []
    if thought.thought_token_ids:
        lines += [CardLine(line, True) for line in wrapped(f"⟨{one_line(thought.thought)}⟩", width)]
    for sentence in _sentences(thought):
        lines += [CardLine(line) for line in wrapped(sentence, width)]
    return lines + [CardLine(line) for line in _alternatives(thought, width)]


def percent(logprob: float) -> str:
    """A probability: 61.2 %, or <0.1 % where it would be 0."""
    share = 100 * math.exp(logprob)
    return "<0.1 %" if share < 0.1 else f"{share:.1f} %"


def _sentences(thought: Thought) -> list[str]:
    name = quoted(thought.token)
    if not thought.thought_token_ids:
        return [f"{name}: no thought here, probability {percent(thought.base_logprob)}"]
    change = change_of(thought)
    lines = [
        f"{name}: weight {thought.mixing_weight:.2f}",
        f"with the thought {percent(thought.logprob)}, without {percent(thought.base_logprob)}: "
        f"{change:+.2f} nats",
    ]
    choice = thought.base_top_logprobs[0].token if thought.base_top_logprobs else None
    if choice is not None:
        lines.append(f"the base model's choice: {quoted(choice)}")
    return lines


def quoted(token: str) -> str:
    """A token with quotes, so that its spaces can be seen."""
    return f'"{one_line(token)}"'


def _alternatives(thought: Thought, width: int) -> list[str]:
    """The most likely tokens with the thought, and without it."""
    lists = [
        ["with the thought", *_bars(thought.top_logprobs or [])],
        ["without", *_bars(thought.base_top_logprobs or [])],
    ]
    lists = [each for each in lists if len(each) > 1]
    if not lists or not thought.thought_token_ids:
        return [cut(line, width) for line in lists[0][1:]] if lists else []
    if width < 2 * _LIST_COLUMNS:
        return [cut(line, width) for each in lists for line in each]
    rows = max(map(len, lists))
    padded = [each + [""] * (rows - len(each)) for each in lists]
    return [
        "".join(_pad(cell, _LIST_COLUMNS) for cell in row).rstrip()
        for row in zip(*padded, strict=True)
    ]


def _bars(tokens: Sequence[TopLogprob]) -> list[str]:
    return [
        f"{_pad(quoted(each.token), _TOKEN_COLUMNS)} {percent(each.logprob):>7} "
        f"{_BAR * round(_BAR_COLUMNS * math.exp(each.logprob))}".rstrip()
        for each in tokens
    ]


def cut(text: str, columns: int) -> str:
    """The text, shortened to so many columns."""
    if get_cwidth(text) <= columns:
        return text
    while text and get_cwidth(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def _pad(text: str, columns: int) -> str:
    """The text in exactly so many columns."""
    shown = cut(text, columns)
    return shown + " " * (columns - get_cwidth(shown))
