"""A page of text, each token shaded by how much its thought helped. Knows no model, only text.

The page is one file that loads nothing: it opens from a disk, a mail or a report. Its frame, style
and script are `page.html` beside this module.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

NUM_LEVELS = 4
"""Shades on each side of zero: as many as an eye tells apart in running text."""
REACH_QUANTILE = 0.95
"""The strongest shade starts at this quantile of the absolute gain: a few extreme tokens must not
wash out all others."""
MIN_REACH = 0.01
"""Nats. Keeps rounding noise unshaded where thoughts change nothing."""

_MARKED = {
    "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}",
    "\r": "\N{SYMBOL FOR CARRIAGE RETURN}",
    "\t": "\N{RIGHTWARDS ARROW TO BAR}",
}
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of characters with no look of their own; some reorder or hide their neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadedToken:
    """One predicted token. Losses in nats."""

    text: str
    """As decoded; may hold anything, U+FFFD and surrogates for bytes that are no character too."""
    base_loss: float
    mixed_loss: float
    mixing_weight: float
    thought: str
    """What was thought before this token."""

    @property
    def gain(self) -> float:
        return self.base_loss - self.mixed_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadedDocument:
    """One text."""

    tokens: Sequence[ShadedToken]
    opening: str = ""
    """Text before the first predicted token; shown unshaded."""
    heading: str = ""


def write_page(
    documents: Sequence[ShadedDocument], path: Path, title: str, *, reach: float | None = None
) -> None:
    """Write the page.

    Args:
        reach: see `reach_of`; None: of these documents. Pages with the same one can be compared.
    """
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    reach = reach_of(documents) if reach is None else reach
    page = Template(template).substitute(
        title=escape(visible(title)),
        reach=f"{reach:.2f}",
        documents="\n".join(_document(document, reach) for document in documents),
    )
    path.write_text(page, encoding="utf-8")


def reach_of(documents: Iterable[ShadedDocument]) -> float:
    """The gain, in nats, at which the strongest shade starts: one scale for all the documents."""
    sizes = sorted(abs(token.gain) for document in documents for token in document.tokens)
    if not sizes:
        return MIN_REACH
    return max(MIN_REACH, sizes[int(REACH_QUANTILE * (len(sizes) - 1))])


def shade(gain: float, reach: float) -> str:
    """CSS class of a gain: `p1` to `p4` helped, `m1` to `m4` hurt, empty for next to nothing."""
    level = min(NUM_LEVELS, round(abs(gain) / reach * NUM_LEVELS))
    if level == 0:
        return ""
    return f"{'p' if gain > 0 else 'm'}{level}"


def visible(text: str) -> str:
    """The same text with a name for each character that would not be seen, or do harm unseen.

    A line break stays behind its mark. Joiners stay inside a word or an emoji, which need them.
    """
    return "".join(mark + kept for mark, kept in _pieces(text))


def markup(text: str) -> str:
    """`visible` as HTML that tells the marks (`<b>`) from what is written in the text itself."""
    return "".join(
        (f"<b>{escape(mark)}</b>" if mark else "") + escape(kept) for mark, kept in _pieces(text)
    )


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """For each character a mark that stands for it, and what stays of the character."""
    are_joiners_kept = any(character not in _JOINERS for character in text)
    for character in text:
        if character in _MARKED:
            # HTML would make a line break of a carriage return.
            yield _MARKED[character], "" if character == "\r" else character
        elif character in _JOINERS and are_joiners_kept:
            yield "", character
        elif unicodedata.category(character) in _INVISIBLE:
            yield _name_of(character), ""
        else:
            yield "", character


def _name_of(character: str) -> str:
    """`<E2>` for a byte that is no character (as surrogateescape keeps it), else `<U+202E>`."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"<{code - 0xDC00:02X}>"
    return f"<U+{code:04X}>"


def _document(document: ShadedDocument, reach: float) -> str:
    gains = [token.gain for token in document.tokens]
    mean = f", mean gain {sum(gains) / len(gains):+.3f} nats per token" if gains else ""
    heading = escape(visible(document.heading))
    text = "".join(_token(token, reach) for token in document.tokens)
    return (
        f'<h2>{heading} <span class="sum">{len(gains)} tokens{mean}</span></h2>\n'
        f'<div class="text" dir="auto">{markup(document.opening)}{text}</div>'
    )


def _token(token: ShadedToken, reach: float) -> str:
    level = shade(token.gain, reach)
    shown = f' class="{level}"' if level else ""
    numbers = (
        f'data-base="{token.base_loss:.4f}" data-mixed="{token.mixed_loss:.4f}" '
        f'data-weight="{token.mixing_weight:.4f}"'
    )
    thought = escape(visible(token.thought))
    # No text at all could be neither seen nor pointed at.
    text = markup(token.text) or "<b>\N{EMPTY SET}</b>"
    return f'<span tabindex="-1"{shown} {numbers} data-thought="{thought}">{text}</span>'
