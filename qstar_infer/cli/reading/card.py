"""What is shown under a token: its thought, and what the thought changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from prompt_toolkit.utils import get_cwidth

from qstar_infer.cli.reading.layout import wrapped
from qstar_infer.cli.shade import change_of
from qstar_infer.cli.terminal import one_line
from qstar_infer.outputs import LikelyToken, Passes, Thought

_BAR = "█"
_BAR_COLUMNS = 10
_LIST_COLUMNS = 36
"""Two lists stand side by side where there is room for both."""
_TOKEN_COLUMNS = 14
_PERCENT_COLUMNS = 7


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
    facts = [*_flowing(_facts(thought), width), *_alternatives(thought, width)]
    return lines + [CardLine(line) for line in facts]


def percent(logprob: float) -> str:
    """A probability: 61.2 %, or <0.1 % where it would be 0."""
    share = 100 * math.exp(logprob)
    return "<0.1 %" if share < 0.1 else f"{share:.1f} %"


def _facts(thought: Thought) -> list[str]:
    name = quoted(thought.token)
    passes = [] if thought.passes is None else _pass_facts(thought.passes)
    if not thought.thought_token_ids:
        return [name, "no thought here", f"probability {percent(thought.base_logprob)}", *passes]
    facts = [
        name,
        f"weight {thought.mixing_weight:.2f}",
        f"with the thought {percent(thought.logprob)}",
        f"without it {percent(thought.base_logprob)}",
        f"change {change_of(thought):+.2f} nats",
    ]
    if thought.base_top_logprobs:
        facts.append(f"choice without it {quoted(thought.base_top_logprobs[0].token)}")
    return facts + passes


def _pass_facts(passes: Passes) -> list[str]:
    """How the wavefront found the token. The draft of a token without a thought is the token."""
    if passes.first == passes.last:
        facts = [f"pass {passes.last}"]
    else:
        fed = "fed" if passes.draft.is_fed else "not fed"
        kept = "kept" if passes.draft.is_kept else "wrong"
        facts = [
            f"passes {passes.first} to {passes.last}",
            f"draft {quoted(passes.draft.token)} {fed}, {kept}",
        ]
    if passes.dropped:
        tokens = ", ".join(quoted(each.token) for each in passes.dropped)
        facts.append(f"thoughts dropped after {tokens}")
    return facts


def _flowing(facts: Sequence[str], width: int) -> list[str]:
    """Facts one behind the other, on a new line where the next does not fit."""
    lines: list[str] = []
    for fact in facts:
        longer = f"{lines[-1]} · {fact}" if lines else fact
        if lines and get_cwidth(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fact)
    return [part for line in lines for part in wrapped(line, width)]


def quoted(token: str) -> str:
    """A token with quotes, so that its spaces can be seen."""
    return f'"{one_line(token)}"'


def _alternatives(thought: Thought, width: int) -> list[str]:
    """The most likely tokens with the thought, and without it."""
    with_it, without = thought.top_logprobs or [], thought.base_top_logprobs or []
    if not thought.thought_token_ids:  # both are the same
        return _bars(without, width)
    if width < 2 * _LIST_COLUMNS:
        return [
            *([cut("with the thought", width), *_bars(with_it, width)] if with_it else []),
            *([cut("without", width), *_bars(without, width)] if without else []),
        ]
    left = ["with the thought", *_bars(with_it, _LIST_COLUMNS - 1)]
    right = ["without", *_bars(without, _LIST_COLUMNS - 1)]
    if len(left) == len(right) == 1:
        return []
    return [
        f"{_pad(one, _LIST_COLUMNS)}{other}".rstrip()
        for one, other in zip_longest(left, right, fillvalue="")
    ]


def _bars(tokens: Sequence[LikelyToken], width: int) -> list[str]:
    """A line for each token, with its probability and, if there is room, a bar."""
    name_columns = max(min(_TOKEN_COLUMNS, width - _PERCENT_COLUMNS - 1), 1)
    lines = []
    for each in tokens:
        name = _pad(quoted(each.token), name_columns)
        line = cut(f"{name} {percent(each.logprob):>{_PERCENT_COLUMNS}}", width)
        room = max(width - get_cwidth(line) - 1, 0)
        bar = _BAR * min(round(_BAR_COLUMNS * math.exp(each.logprob)), room)
        lines.append(f"{line} {bar}".rstrip())
    return lines


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
