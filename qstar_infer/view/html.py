"""Thoughts as HTML without a script. clients/look/README.md describes the markup.

Every text is escaped, has signs for control characters, and no address is ever an attribute.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from qstar_infer.signs import one_line, printable
from qstar_infer.view.entries import Alternative, Entry, Passes
from qstar_infer.view.numbers import (
    change_colour,
    difference,
    percent,
    rounded,
    tenths_of_percent,
    weight_colour,
)

_EMPTY = "∅"
"""Stands for a token without text, which nobody could point at."""
_SPACE = "␣"
"""Stands for a space, in a card, in a text of nothing else."""
_SPACES = re.compile(" +")


@dataclass(frozen=True, slots=True)
class ThoughtsView:
    """Any entries of an answer, such as some of them, for a notebook to show."""

    thoughts: Sequence[Entry]

    def _repr_html_(self) -> str | None:
        return answer_html([self.thoughts])


def answer_html(choices: Sequence[Sequence[Entry] | None]) -> str | None:
    """The thoughts of all choices of an answer with their style sheet; None without any.

    A notebook shows None in its usual way.
    """
    shown = {index: thoughts for index, thoughts in enumerate(choices) if thoughts}
    if not shown:
        return None
    blocks = (
        thoughts_html(
            thoughts,
            group=f"qt{_checksum(thoughts):08x}-{index}",
            label=f"Choice {index}" if len(choices) > 1 else "",
        )
        for index, thoughts in shown.items()
    )
    return f"<style>\n{style_sheet()}</style>\n" + "".join(blocks)


@cache
def style_sheet() -> str:
    """The rules of every view, all below the class `qstar-thoughts`."""
    return Path(__file__).with_name("thoughts.css").read_text(encoding="utf-8")


def thoughts_html(thoughts: Sequence[Entry], *, group: str, label: str) -> str:
    """The thoughts of one choice, without the style sheet.

    Args:
        group: letters, digits and dashes, other than those of the page's other choices: of the
            tokens in one group, one is open at a time.
        label: stands before the text; may be empty.
    """
    heading = f"<b>{escape(label)}</b>" if label else ""
    tokens = "".join(_token(entry, group) for entry in thoughts)
    return (
        '<div class="qstar-thoughts tex2jax_ignore mathjax_ignore">\n'
        f'<div class="key">{heading}<span>{_count(len(thoughts), "token")}; open one to read its '
        'thought</span><label><input type="checkbox">shade by change of probability</label>'
        '<span class="by-weight">orange: weight of the thought, 0 to 1</span>'
        '<span class="by-change" hidden>blue: more likely with the thought; '
        "red-brown: less likely</span></div>\n"
        f'<div class="text">{tokens}</div>\n'
        "</div>\n"
    )


def _token(entry: Entry, group: str) -> str:
    styles = []
    if colour := weight_colour(entry):
        styles.append(f"background-color:{colour}")
    if colour := change_colour(entry):
        styles.append(f"--change:{colour}")
    style = f' style="{";".join(styles)}"' if styles else ""
    name = ' aria-label="space"' if _SPACES.fullmatch(entry.token) else ""
    return (
        f'<details name="{group}"{style}>'
        f"<summary{name}>{_text(entry.token)}</summary>"
        f'<div class="card">{_card(entry)}</div></details>'
    )


def _text(token: str) -> str:
    """A token in the line: what could not be seen has a sign, and line breaks stay."""
    return escape(printable(token).replace("\n", "↵\n") or _EMPTY)


def _card(entry: Entry) -> str:
    parts = [_thought(entry), _numbers(entry), _alternatives(entry)]
    if entry.passes is not None:
        parts.append(_passes(entry.passes, has_thought=bool(entry.thought_token_ids)))
    return "".join(parts)


def _thought(entry: Entry) -> str:
    if not entry.thought_token_ids:
        return "<p>No thought before this token.</p>"
    length = _count(len(entry.thought_token_ids), "token")
    return f"<p>Thought of {length}: {_code(entry.thought)}</p>"


def _numbers(entry: Entry) -> str:
    if not entry.thought_token_ids:
        return f"<dl>{_probability('probability', entry.logprob)}</dl>"
    parts = [
        _number("weight", rounded(entry.mixing_weight)),
        _probability("with the thought", entry.logprob),
        _probability("without it", entry.base_logprob),
        _number("change", f"{difference(entry)} nats"),
    ]
    if entry.base_top_logprobs:
        parts.append(_number("choice without it", _code(entry.base_top_logprobs[0].token)))
    return f"<dl>{''.join(parts)}</dl>"


def _number(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _probability(name: str, logprob: float) -> str:
    return _number(name, f"{escape(percent(logprob))} <small>{rounded(logprob)}</small>")


def _alternatives(entry: Entry) -> str:
    lists = [
        ("Most likely with the thought", entry.top_logprobs),
        ("Most likely without it", entry.base_top_logprobs),
    ]
    if not entry.thought_token_ids:
        lists = [("Most likely", entry.top_logprobs)]
    shown = "".join(_list(name, rows, entry.token_id) for name, rows in lists if rows)
    return f'<div class="tops">{shown}</div>' if shown else ""


def _list(name: str, rows: Iterable[Alternative], chosen: int) -> str:
    lines = "".join(_row(row, is_chosen=row.token_id == chosen) for row in rows)
    return f"<div><p>{name}</p><ol>{lines}</ol></div>"


def _row(row: Alternative, *, is_chosen: bool) -> str:
    tenths = tenths_of_percent(row.logprob)
    token = f"<b>{_code(row.token)}</b>" if is_chosen else _code(row.token)
    return (
        f'<li style="--p:{tenths // 10}.{tenths % 10}%">{token} '
        f"<span>{escape(percent(row.logprob))}</span></li>"
    )


def _passes(passes: Passes, *, has_thought: bool) -> str:
    draft = passes.draft
    text = f"Decided in pass {passes.last}."
    if has_thought:
        text = (
            f"Begun in pass {passes.first}, decided in pass {passes.last}. "
            f"Draft {_code(draft.token)}: {'fed' if draft.is_fed else 'not fed'}, "
            f"{'right' if draft.is_kept else 'wrong'}."
        )
    if passes.dropped:
        names = ", ".join(
            f"{_code(each.token)} (passes {each.first} to {each.last})" for each in passes.dropped
        )
        text += f" Thoughts dropped after {names}."
    return f'<p class="passes">{text}</p>'


def _code(text: str) -> str:
    if _SPACES.fullmatch(text):
        text = text.replace(" ", _SPACE)
    return f"<code>{escape(one_line(text) or _EMPTY)}</code>"


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _checksum(thoughts: Iterable[Entry]) -> int:
    """Of all texts: answers that differ are different groups."""
    checksum = 0
    for entry in thoughts:
        text = f"{entry.token}\0{entry.thought}\0"
        checksum = zlib.crc32(text.encode("utf-8", "surrogatepass"), checksum)
    return checksum
