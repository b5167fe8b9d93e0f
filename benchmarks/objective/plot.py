"""Plots memory and speed by sequence length to an SVG file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.objective.report import OURS, WAYS, ObjectiveReport
from qstar_eval.plots import PALE, chart, colour_of, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD"
"""One for each of `WAYS`, in order."""


def plot_report(report: ObjectiveReport, path: Path) -> None:
    """Plot two logarithmic panels; a pale line shows linear growth of memory."""
    lengths = sorted({row.seq for row in report.rows})
    with chart(path, num_columns=2, size=(10.5, 4.2)) as (memory, speed):
        handles = []
        for index, (way, name) in enumerate(WAYS.items()):
            found = (report.find(way, seq) for seq in lengths)
            rows = [row for row in found if row is not None]
            style: dict[str, Any] = {
                "color": colour_of(index),
                "marker": MARKERS[index],
                "linewidth": 1.8 if way == OURS else 1.2,
                "label": name,
            }
            x = [row.seq for row in rows]
            handles += memory.plot(x, [row.peak_mib for row in rows], **style)
            speed.plot(x, [row.positions_s for row in rows], **style)
        last = report.find(OURS, lengths[-1])
        if last is not None:
            linear = [last.peak_mib * seq / last.seq for seq in lengths]
            handles += memory.plot(
                lengths, linear, color=PALE, linewidth=5, zorder=0, label="linear growth"
            )
        for axes, title, unit in (
            (memory, "Peak memory of a step", "MiB"),
            (speed, "Speed", "positions per second"),
        ):
            _scale(axes, lengths)
            axes.set_title(title)
            axes.set_ylabel(unit)
            axes.set_xlabel("Sequence (tokens)")
            axes.grid(axis="y")
        legend(memory, handles)


def _scale(axes: "Axes", lengths: Sequence[int]) -> None:
    """Make both axes logarithmic, with plain numbers as labels."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(lengths, [str(seq) for seq in lengths])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
