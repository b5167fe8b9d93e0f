"""How thoughts look: pure functions from segments to rich text for a terminal, or to plain text.

    Paris⟨ the capital of⟩ is⟨ ...⟩

Each visible token has a background that grows with the mixing weight of its thought. Where all
thoughts are asked for, the thought that the model had before the token follows it, dimmed.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.style import Style
from rich.text import Text

from qstar_infer.cli.segments import Segment
from qstar_infer.cli.shade import DARK, Palette, Shade, shade_of, weight_shade
from qstar_infer.cli.terminal import one_line, printable
from qstar_infer.outputs import Thought

THOUGHT_STYLE = Style(dim=True, italic=True)
LEGEND_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def plain_segments(segments: Iterable[Segment]) -> str:
    """Segments with their thoughts, for a pipe or a file: the visible text is exact."""
    return "".join(text for segment in segments for text, _ in _pieces(segment, DARK))


def render_segments(segments: Iterable[Segment], palette: Palette = DARK) -> Text:
    """Segments with their thoughts, as styled text for a terminal."""
    return _styled(piece for segment in segments for piece in _pieces(segment, palette))


def shaded_segments(segments: Iterable[Segment], palette: Palette = DARK) -> Text:
    """Segments without their thoughts: shades alone tell how much each changed."""
    return _styled((each.text, shade_style(each.thoughts, palette)) for each in segments)


def _styled(pieces: Iterable[tuple[str, Style]]) -> Text:
    rendered = Text()
    for text, style in pieces:
        rendered.append(printable(text), style=style)
    return rendered


def _pieces(segment: Segment, palette: Palette) -> Iterator[tuple[str, Style]]:
    # The token's own line breaks go last, so that its thought is on the same line.
    body = segment.text.rstrip("\n")
    yield body, shade_style(segment.thoughts, palette)
    for thought in segment.thoughts:
        if thought.thought_token_ids:
            yield f"⟨{one_line(thought.thought)}⟩", THOUGHT_STYLE
    yield segment.text[len(body) :], Style.null()


def shade_style(thoughts: Sequence[Thought], palette: Palette = DARK) -> Style:
    """The style of a segment: that of its largest mixing weight; none without a thought."""
    shades = [shade for thought in thoughts if (shade := shade_of(thought, "weight")) is not None]
    return style_of(max(shades, key=lambda shade: shade.strength, default=None), palette)


def style_of(shade: Shade | None, palette: Palette) -> Style:
    """A shade in rich's form; none for no shade and for an invisible one."""
    paint = palette.paint(shade)
    if paint is None:
        return Style.null()
    if paint.is_underlined:
        return Style(underline=True)
    return Style(color=paint.ink, bgcolor=paint.background)


def legend(palette: Palette = DARK, *, has_thoughts: bool = True) -> Text:
    """One line that explains the shades and, if thoughts are shown, the brackets."""
    if palette.colours != "none":
        line = Text("mixing weight ")
        for weight in LEGEND_WEIGHTS:
            line.append(f" {weight:g} ", style=style_of(weight_shade(weight), palette))
    else:
        line = Text("underlined: a mixing weight of at least 0.5")
    if has_thoughts:
        line.append("  ")
        line.append("⟨thought⟩", style=THOUGHT_STYLE)
        line.append(" what the model thought before the token", style=Style(dim=True))
    return line
