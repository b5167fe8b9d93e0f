"""Draws the reading view as lines of styled text that exactly fit a screen. No terminal here."""

from collections.abc import Sequence

from prompt_toolkit.utils import get_cwidth

from qstar_infer.cli.reading.card import card_lines, cut
from qstar_infer.cli.reading.layout import Line, wrapped
from qstar_infer.cli.reading.reader import Reader, place_of
from qstar_infer.cli.shade import Palette, Shade, shade_of

StyledLine = list[tuple[str, str]]
"""Pairs of a style, in prompt_toolkit's words, and a text."""

MAX_PROMPT_LINES = 3
DIM = "fg:ansibrightblack"
CURSOR = "reverse"
CARD_EDGE = "│ "
HINTS = ("q leave", "←→↑↓ token", "n/p most changed", "w/c shade", "Tab next answer")


def draw(reader: Reader, palette: Palette, width: int, height: int) -> list[StyledLine]:
    """The screen: a title, the text with a card under the cursor's line, and the keys.

    Moves `reader.top` so that the cursor and its card can be seen.
    """
    body, first, last = _body(reader, palette, width)
    title, keys = _title(reader, width), _keys(reader, width)
    bars = 2 if height > 4 else 0
    room = max(height - bars, 1)
    reader.top = _scrolled(reader.top, first, last, room, len(body))
    shown = body[reader.top : reader.top + room]
    if not bars:
        return shown
    return [title, *shown, *([[]] * (room - len(shown))), keys]


def _body(reader: Reader, palette: Palette, width: int) -> tuple[list[StyledLine], int, int]:
    """All lines, and which of them show the cursor and the end of its card."""
    page = reader.page
    lines = page.lines(width)
    body = [[(_dim(palette), line)] for line in _prompt_lines(page.prompt, width)]
    if not page.thoughts:
        body += [[("", fragment.text) for fragment in line] for line in lines]
        body.append([(_dim(palette), cut("(no thoughts were saved)", width))])
        return body, 0, 0
    styles = [_style(shade_of(thought, reader.shading), palette) for thought in page.thoughts]
    styles[reader.token] = f"{styles[reader.token]} {CURSOR} bold"
    number, fragment = place_of(lines, reader.token)
    body += [_styled(line, styles) for line in lines[: number + 1]]
    first = len(body) - 1
    body += _card(reader, palette, width, fragment.column)
    last = len(body) - 1
    body += [_styled(line, styles) for line in lines[number + 1 :]]
    return body, first, last


def _card(reader: Reader, palette: Palette, width: int, column: int) -> list[StyledLine]:
    """The card, with a pointer to the column of its token."""
    edge = CARD_EDGE if width > 10 else ""
    thought = reader.page.thoughts[reader.token]
    pointer = " " * min(column, width - 1) + "▲"
    lines: list[StyledLine] = [[(_dim(palette), pointer)]]
    for line in card_lines(thought, width - len(edge)):
        style = "italic" if line.is_thought else ""
        lines.append([(_dim(palette), edge), (style, line.text)])
    return lines


def _scrolled(top: int, first: int, last: int, room: int, num_lines: int) -> int:
    """The nearest first line of the screen with which `first..last` can be seen."""
    top = max(top, last - room + 1)
    top = min(top, first)
    return max(min(top, num_lines - room), 0)


def _styled(line: Line, styles: Sequence[str]) -> StyledLine:
    return [(styles[fragment.token], fragment.text) for fragment in line]


def _style(shade: Shade | None, palette: Palette) -> str:
    paint = palette.paint(shade)
    if paint is None:
        return ""
    if paint.is_underlined:
        return "underline"
    return f"bg:{_colour(paint.background)} fg:{_colour(paint.ink)}"


def _colour(name: str) -> str:
    """A colour in prompt_toolkit's words."""
    if name.startswith("#"):
        return name
    return "ansigray" if name == "white" else f"ansi{name}"


def _dim(palette: Palette) -> str:
    return "" if palette.colours == "none" else DIM


def _prompt_lines(prompt: str, width: int) -> list[str]:
    """The last lines of the prompt, which the text continues."""
    lines = wrapped(prompt, width)
    if len(lines) > MAX_PROMPT_LINES:
        lines = ["…", *lines[1 - MAX_PROMPT_LINES :]]
    return lines


def _title(reader: Reader, width: int) -> StyledLine:
    page = reader.page
    parts = [page.model]
    if len(reader.pages) > 1:
        parts.insert(0, f"answer {reader.number + 1} of {len(reader.pages)}")
    if page.thoughts:
        parts.insert(0, f"token {reader.token + 1} of {len(page.thoughts)}")
        parts.append(f"shaded by {reader.shading}")
    return [("reverse", _filled(" · ".join(parts), width))]


def _keys(reader: Reader, width: int) -> StyledLine:
    """As many hints as there is room for."""
    text = ""
    for hint in HINTS[: len(HINTS) if len(reader.pages) > 1 else -1]:
        longer = f"{text} · {hint}" if text else hint
        if get_cwidth(longer) > width:
            break
        text = longer
    return [("reverse", _filled(text, width))]


def _filled(text: str, width: int) -> str:
    text = cut(text, width)
    return text + " " * (width - get_cwidth(text))
