"""Line charts as SVG text. Colours come from CSS variables, so a chart follows light and dark.

The classes are in `chart.css`, which a page or a picture of its own includes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from qstar_eval.bootstrap import Estimate

WIDTH, PLOT_HEIGHT = 480.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 58.0, 46.0
"""Room around the plot, in units of the view box."""
LEGEND_ROW = 20.0
CHARACTER = 6.4
"""Width of a character at the size of the legend, roughly."""
KEY = 30.0
"""Width of a line's sample in the legend, with the gap behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart."""

    label: str
    points: Sequence[tuple[float, Estimate]]
    """`(x, y with its interval)`, by x."""
    style: str
    """CSS classes: a colour (`c0` to `c5`, `k0` to `k3`), and `dashed` if it is a control."""
    has_intervals: bool = True
    value_text: Callable[[float], str] | None = None
    """Text above each point, from its y; None: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of lines over one axis."""

    title: str
    x_title: str
    y_title: str
    x_ticks: Sequence[tuple[float, str]]
    """Places on the x axis, and their labels."""
    y_ticks: Sequence[tuple[float, str]]
    """The first and the last are the ends of the axis."""
    lines: Sequence[Line]
    level: tuple[float, str] | None = None
    """A horizontal line and its label, such as chance."""

    @property
    def height(self) -> float:
        """Of the view box, legend included."""
        return TOP + PLOT_HEIGHT + BOTTOM + LEGEND_ROW * len(legend_rows(self.lines)) + 4

    def x(self, value: float) -> float:
        """Where a value is on the x axis."""
        places = [place for place, _ in self.x_ticks]
        places += [x for line in self.lines for x, _ in line.points]
        low, high = min(places), max(places)
        share = (value - low) / (high - low) if high > low else 0.5
        return LEFT + 14 + share * (WIDTH - LEFT - RIGHT - 28)

    def y(self, value: float) -> float:
        """Where a value is on the y axis; values beyond its ends are at the ends."""
        low, high = self.y_ticks[0][0], self.y_ticks[-1][0]
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return TOP + (1 - share) * PLOT_HEIGHT


def svg_of(chart: Chart, *, place: tuple[float, float] | None = None) -> str:
    """The chart as an `<svg>` element.

    Args:
        place: x and y inside another `<svg>`; None for an element of a page.
    """
    size = f'width="{WIDTH:g}" height="{chart.height:g}"' if place else ""
    where = f'x="{place[0]:g}" y="{place[1]:g}"' if place else ""
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {chart.height:g}" {size} {where} role="img" '
        f'aria-label="{escape(chart.title)}" xmlns="http://www.w3.org/2000/svg">',
        _text(LEFT - 34, 16, chart.title, "title"),
        *_axes(chart),
        *(_level(chart, *chart.level) if chart.level else ()),
        *(part for line in chart.lines for part in _line(chart, line)),
        *_legend(chart),
        "</svg>",
    ]
    return "\n".join(parts)


def legend_rows(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines' labels, broken into rows that fit."""
    rows: list[list[Line]] = []
    used = WIDTH
    for line in lines:
        width = _legend_width(line)
        if used + width > WIDTH - RIGHT:
            rows.append([])
            used = 12.0
        rows[-1].append(line)
        used += width
    return rows


def _axes(chart: Chart) -> list[str]:
    bottom, right = TOP + PLOT_HEIGHT, WIDTH - RIGHT
    parts = []
    for value, label in chart.y_ticks:
        y = chart.y(value)
        parts.append(_segment(LEFT, y, right, y, "grid"))
        parts.append(_text(LEFT - 6, y + 4, label, "tick end"))
    for place, label in chart.x_ticks:
        parts.append(_text(chart.x(place), bottom + 16, label, "tick middle"))
    parts.append(_segment(LEFT, bottom, right, bottom, "axis"))
    parts.append(_text((LEFT + right) / 2, bottom + 35, chart.x_title, "name middle"))
    parts.append(_text(LEFT - 34, TOP - 20, chart.y_title, "name"))
    return parts


def _level(chart: Chart, value: float, label: str) -> list[str]:
    y = chart.y(value)
    return [
        _segment(LEFT, y, WIDTH - RIGHT, y, "level"),
        _text(WIDTH - RIGHT, y + 13, label, "tick end"),
    ]


def _line(chart: Chart, line: Line) -> list[str]:
    places = [(chart.x(x), chart.y(estimate.value)) for x, estimate in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<g class="line {line.style}">', f"<title>{escape(line.label)}</title>"]
    if len(places) > 1:
        parts.append(f'<polyline points="{path}"/>')
    for (x, y), (_, estimate) in zip(places, line.points, strict=True):
        if line.has_intervals:
            low, high = chart.y(estimate.low), chart.y(estimate.high)
            parts.append(_segment(x, low, x, high, "interval"))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>')
        if line.value_text is not None:
            parts.append(_text(x - 4, y - 9, line.value_text(estimate.value), "value"))
    return [*parts, "</g>"]


def _legend(chart: Chart) -> list[str]:
    parts = []
    y = TOP + PLOT_HEIGHT + BOTTOM + 12
    for row in legend_rows(chart.lines):
        x = 12.0
        for line in row:
            parts.append(f'<g class="line {line.style}">')
            parts.append(f'<polyline points="{x:.1f},{y - 4:.1f} {x + 22:.1f},{y - 4:.1f}"/>')
            parts.append(f'<circle cx="{x + 11:.1f}" cy="{y - 4:.1f}" r="3.2"/></g>')
            parts.append(_text(x + KEY, y, line.label, "key"))
            x += _legend_width(line)
        y += LEGEND_ROW
    return parts


def _legend_width(line: Line) -> float:
    return KEY + CHARACTER * len(line.label) + 16


def _segment(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{style}" {ends}/>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
