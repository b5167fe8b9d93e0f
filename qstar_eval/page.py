"""A page of text, each token shaded by how much its thought helped.

The page is one file that loads nothing, so it opens from a disk or a mail. Its frame, style and
script are in `page.html`.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from qstar_eval.task import Record

NUM_LEVELS = 4
"""Shades on each side of zero: as many as one can tell apart in running text."""
MAX_GAIN_QUANTILE = 0.95
"""The strongest shade starts at this quantile of the absolute gains, so that a few extreme tokens
do not leave all others pale."""
MIN_MAX_GAIN = 0.01
"""Nats. Leaves rounding noise unshaded if thoughts change nothing."""

_MARKED = {
    "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}",
    "\r": "\N{SYMBOL FOR CARRIAGE RETURN}",
    "\t": "\N{RIGHTWARDS ARROW TO BAR}",
}
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of characters without a glyph; some reorder or hide their neighbours."""


def write_page(records: Sequence[Record], path: Path, *, title: str, max_gain: float) -> None:
    """Write the page.

    Args:
        records: of a `HeldOutTask`, one for each document. Their texts may contain anything, U+FFFD
            and lone surrogates included.
        max_gain: the scale, see `max_gain_of`. Pages with the same scale can be compared.
    """
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        title=escape(visible(title)),
        reach=f"{max_gain:.2f}",
        documents="\n".join(_document(record, max_gain) for record in records),
    )
    path.write_text(page, encoding="utf-8")


def max_gain_of(records: Iterable[Record]) -> float:
    """The gain in nats at which the strongest shade starts: one scale for all these documents."""
    sizes = sorted(abs(gain) for record in records for gain in _gains(record))
    if not sizes:
        return MIN_MAX_GAIN
    return max(MIN_MAX_GAIN, sizes[int(MAX_GAIN_QUANTILE * (len(sizes) - 1))])


def shade(gain: float, max_gain: float) -> str:
    """The CSS class of a gain: `p1` to `p4` helped, `m1` to `m4` hurt, empty near zero."""
    level = min(NUM_LEVELS, round(abs(gain) / max_gain * NUM_LEVELS))
    if level == 0:
        return ""
    return f"{'p' if gain > 0 else 'm'}{level}"


def visible(text: str) -> str:
    """Replace invisible and control characters with marks or names.

    A line break is kept after its mark. Joiners are kept in words and emoji, which need them.
    """
    return "".join(mark + kept for mark, kept in _pieces(text))


def markup(text: str) -> str:
    """`visible` as HTML, with marks in `<b>` to distinguish them from the text itself."""
    return "".join(
        (f"<b>{escape(mark)}</b>" if mark else "") + escape(kept) for mark, kept in _pieces(text)
    )


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """For each character: the mark shown for it, and what is kept of the character."""
    are_joiners_kept = any(character not in _JOINERS for character in text)
    for character in text:
        if character in _MARKED:
            # HTML would turn a carriage return into a line break.
            yield _MARKED[character], "" if character == "\r" else character
        elif character in _JOINERS and are_joiners_kept:
            yield "", character
        elif unicodedata.category(character) in _INVISIBLE:
            yield _name_of(character), ""
        else:
            yield "", character


def _name_of(character: str) -> str:
    """`<E2>` for a byte kept by surrogateescape, `<U+202E>` for any other character."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"<{code - 0xDC00:02X}>"
    return f"<U+{code:04X}>"


def _gains(record: Record) -> list[float]:
    pairs = zip(record["base_losses"], record["mixed_losses"], strict=True)
    return [base - mixed for base, mixed in pairs]


def _document(record: Record, max_gain: float) -> str:
    """The HTML of a document. Its first token, which is not predicted, is unshaded."""
    gains = _gains(record)
    mean = f", mean gain {sum(gains) / len(gains):+.3f} nats per token" if gains else ""
    text = "".join(_token(record, place, max_gain) for place in range(len(gains)))
    count = f"{len(gains)} tokens{mean}"
    return (
        f'<h2>document {record["document"]} <span class="sum">{count}</span></h2>\n'
        f'<div class="text" dir="auto">{markup("".join(record["tokens"][:1]))}{text}</div>'
    )


def _token(record: Record, place: int, max_gain: float) -> str:
    """The HTML of the token after `place`, which the losses at `place` are about."""
    base, mixed = record["base_losses"][place], record["mixed_losses"][place]
    level = shade(base - mixed, max_gain)
    shown = f' class="{level}"' if level else ""
    numbers = (
        f'data-base="{base:.4f}" data-mixed="{mixed:.4f}" '
        f'data-weight="{record["mixing_weights"][place]:.4f}"'
    )
    thought = escape(visible(record["thoughts"][place]))
    # An empty token could not be seen or pointed at.
    text = markup(record["tokens"][place + 1]) or "<b>\N{EMPTY SET}</b>"
    return f'<span tabindex="-1"{shown} {numbers} data-thought="{thought}">{text}</span>'
