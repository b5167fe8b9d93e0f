"""Draws the chart of a report to a file, with matplotlib, which is optional."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qstar_infer.bench.report import BarChart, LineChart
from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's: distinct for every kind of colour vision."""
_MARKERS = "osD^vPX"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "qstar",  # the same numbers give the same file
    "text.parse_math": False,  # a model's name may contain a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def check_plot() -> None:
    """Check that a chart can be drawn, before anything is measured.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--plot needs matplotlib, which is not installed ({error}). Install it with "
            "pip install 'qstar[bench]', or leave out --plot."
        ) from error


def plot(chart: BarChart | LineChart, path: Path, *, subtitle: str) -> None:
    """Draw a chart; the ending of `path` decides the format.

    Args:
        subtitle: the machine and the model.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    check_plot()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.set_title(chart.title, loc="left", fontweight="bold", pad=22)
        axes.text(0, 1.02, subtitle, transform=axes.transAxes, fontsize=7)
        if isinstance(chart, BarChart):
            _draw_bars(axes, chart)
        else:
            _draw_lines(axes, chart)
            figure.legend(loc="outside right upper")
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=150, facecolor="white")


def _draw_bars(axes: "Axes", chart: BarChart) -> None:
    names = list(chart.bars)[::-1]
    values = [chart.bars[name] for name in names]
    drawn = axes.barh(names, values, color=_COLOURS[0])
    axes.bar_label(drawn, [f"{value:.3g}" for value in values], padding=3)
    axes.set_xlabel(chart.y_label)
    axes.grid(axis="x")


def _draw_lines(axes: "Axes", chart: LineChart) -> None:
    for index, (name, points) in enumerate(chart.lines.items()):
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=name,
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
        )
    _label_values(axes, (x for points in chart.lines.values() for x, _ in points))
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _label_values(axes: "Axes", values: Iterable[float]) -> None:
    """A logarithmic axis that shows the measured values."""
    from matplotlib.ticker import NullFormatter

    axes.set_xscale("log", base=2)
    ticks = sorted(set(values))
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
