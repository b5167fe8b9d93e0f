"""How thoughts look: pure functions from segments to rich text for a terminal, or to plain text.

    Paris⟨ the capital of⟩ is⟨ ...⟩

Each visible token has a background from grey (mixing weight 0) to colour (mixing weight 1). The
thought that the model had before the token follows it, dimmed.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.color import Color
from rich.style import Style
from rich.text import Text

from qstar_infer.cli.segments import Segment
from qstar_infer.cli.terminal import one_line, printable
from qstar_infer.outputs import Thought

GREY = (68, 68, 68)
COLOUR = (150, 60, 190)
INK = Color.from_rgb(240, 240, 240)
THOUGHT_STYLE = Style(dim=True, italic=True)
LEGEND_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def plain_segments(segments: Iterable[Segment]) -> str:
    """Segments with their thoughts, for a pipe or a file: the visible text is exact."""
    return "".join(text for segment in segments for text, _ in _pieces(segment))


def render_segments(segments: Iterable[Segment]) -> Text:
    """Segments with their thoughts, as styled text for a terminal."""
    rendered = Text()
    for segment in segments:
        rendered.append_text(render_segment(segment))
    return rendered


def render_segment(segment: Segment) -> Text:
    """The segment's text, shaded, and then its thoughts."""
    rendered = Text()
    for text, style in _pieces(segment):
        rendered.append(printable(text), style=style)
    return rendered


def _pieces(segment: Segment) -> Iterator[tuple[str, Style]]:
    # The token's own line breaks go last, so that its thought is on the same line.
    body = segment.text.rstrip("\n")
    yield body, shade_style(segment.thoughts)
    for thought in segment.thoughts:
        if thought.thought_token_ids:
            yield f"⟨{one_line(thought.thought)}⟩", THOUGHT_STYLE
    yield segment.text[len(body) :], Style.null()


def shade_style(thoughts: Sequence[Thought]) -> Style:
    """The style of a segment: that of its largest mixing weight; none without a thought."""
    weights = [thought.mixing_weight for thought in thoughts if thought.thought_token_ids]
    if not weights:
        return Style.null()
    return weight_style(max(weights))


def weight_style(weight: float) -> Style:
    """A background between grey and colour; a weight outside [0, 1] counts as the nearer end."""
    share = min(max(weight, 0.0), 1.0)
    red, green, blue = (
        round(low + share * (high - low)) for low, high in zip(GREY, COLOUR, strict=True)
    )
    return Style(color=INK, bgcolor=Color.from_rgb(red, green, blue))


def legend() -> Text:
    """One line that explains the shades and the brackets."""
    line = Text("mixing weight ")
    for weight in LEGEND_WEIGHTS:
        line.append(f" {weight:g} ", style=weight_style(weight))
    line.append("  ")
    line.append("⟨thought⟩", style=THOUGHT_STYLE)
    return line.append(" what the model thought before the token", style=Style(dim=True))
