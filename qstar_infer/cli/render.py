"""How thoughts look in a terminal: pure functions from segments to rich text.

    Paris⟨ the capital of⟩ is⟨ ...⟩

Each visible token stands in its place on a background that goes from grey (its thought counted for
nothing) to colour (the thought alone decided); the thought that came before it follows, dimmed.
"""

from collections.abc import Iterable, Sequence

from rich.color import Color
from rich.style import Style
from rich.text import Text

from qstar_infer.cli.align import Segment
from qstar_infer.outputs import Thought

GREY = (68, 68, 68)
COLOUR = (150, 60, 190)
INK = Color.from_rgb(240, 240, 240)
THOUGHT_STYLE = Style(dim=True, italic=True)
LEGEND_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
VISIBLE_BREAKS = str.maketrans({"\n": "↵", "\r": "↵", "\t": "⇥"})


def render_segments(segments: Iterable[Segment], *, show_thoughts: bool) -> Text:
    """Segments as styled text. Without thoughts its plain text is exactly the segments' text."""
    rendered = Text()
    for segment in segments:
        rendered.append_text(render_segment(segment, show_thoughts=show_thoughts))
    return rendered


def render_segment(segment: Segment, *, show_thoughts: bool) -> Text:
    """One segment: its text shaded, and its thoughts beside it where wanted."""
    if not show_thoughts:
        return Text(segment.text)
    # A thought would be torn from its token by the line break the token ends in: breaks go last.
    body = segment.text.rstrip("\n")
    rendered = Text().append(body, style=shade_style(segment.thoughts))
    for thought in segment.thoughts:
        if thought.thought_token_ids:
            rendered.append(f"⟨{one_line(thought.thought)}⟩", style=THOUGHT_STYLE)
    return rendered.append(segment.text[len(body) :])


def shade_style(thoughts: Sequence[Thought]) -> Style:
    """The style of a visible token: unstyled where nothing was thought."""
    weights = [thought.mixing_weight for thought in thoughts if thought.thought_token_ids]
    if not weights:
        return Style.null()
    return weight_style(max(weights))


def weight_style(weight: float) -> Style:
    """A background between grey and colour; weights outside [0, 1] show as the nearer end."""
    share = min(max(weight, 0.0), 1.0)
    red, green, blue = (
        round(low + share * (high - low)) for low, high in zip(GREY, COLOUR, strict=True)
    )
    return Style(color=INK, bgcolor=Color.from_rgb(red, green, blue))


def one_line(text: str) -> str:
    """A thought on one line: line breaks and tabs as signs, other control characters dropped."""
    visible = text.translate(VISIBLE_BREAKS)
    return "".join(char for char in visible if char.isprintable())


def legend() -> Text:
    """One line that explains the shades and the brackets."""
    line = Text("mixing weight ")
    for weight in LEGEND_WEIGHTS:
        line.append(f" {weight:g} ", style=weight_style(weight))
    line.append("  ")
    line.append("⟨thought⟩", style=THOUGHT_STYLE)
    return line.append(" what was thought before its token", style=Style(dim=True))
