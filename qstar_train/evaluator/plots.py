"""The evaluator's charts: plain numbers in, SVG files out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from qstar_train.evaluator.chart import INK, MARKERS, chart, colour_of, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]
"""A value and the ends of its 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """Loss of one checkpoint, in nats per token, with thoughts of several lengths."""

    label: str
    """The checkpoint; curves of the same one share a colour."""
    kind: Literal["sampled", "random"]
    """Whether it thought, or had random tokens in the thoughts' place."""
    points: Sequence[tuple[int, float, float, float]]
    """`(num_thought_tokens, value, low, high)`."""
    base: float | None = None
    """Its loss without thoughts."""


def plot_loss_against_thought_length(series: Sequence[LossCurve], path: Path) -> None:
    """Loss over the number of thought tokens; intervals are bands, base losses dashed lines."""
    labels = list(dict.fromkeys(curve.label for curve in series))
    with chart(path) as (axes,):
        for curve in series:
            colour = colour_of(labels.index(curve.label))
            x, value, low, high = np.array(sorted(curve.points)).T
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(x, value, color=colour, **_line_of(curve.kind))
            if curve.base is not None:
                axes.axhline(curve.base, color=colour, **_line_of("base"))
        lengths = sorted({int(point[0]) for curve in series for point in curve.points})
        axes.set_xticks(lengths)
        axes.set_title("Held-out loss against thought length")
        axes.set_xlabel("Length of a thought (tokens)")
        axes.set_ylabel("Loss (nats per token)")
        axes.grid(axis="y")
        _add_loss_legend(axes, labels, series)


def plot_mixing_weights(weights: Mapping[str, Sequence[float]], path: Path) -> None:
    """How much the thoughts count: for each checkpoint a histogram over its tokens.

    Args:
        weights: by checkpoint, the mixing weight at each token.
    """
    arrays = {label: np.asarray(values, dtype=float) for label, values in weights.items()}
    # A few extreme tokens must not squeeze all others together; they go into the end bins.
    ends = np.array([np.quantile(values, [0.002, 0.998]) for values in arrays.values()])
    low = min(float(ends[:, 0].min()), 0.0)
    high = max(float(ends[:, 1].max()), low + 0.05)
    bins = np.linspace(low, high, 61)
    is_cut = any((values < low).any() or (values > high).any() for values in arrays.values())
    with chart(path, num_rows=len(arrays), size=(7.6, 1.3 + 1.15 * len(arrays))) as rows:
        for index, (axes, (label, values)) in enumerate(zip(rows, arrays.items(), strict=True)):
            _draw_histogram(axes, values, bins=bins, colour=colour_of(index))
            axes.set_title(label, fontsize=10, fontweight="normal", pad=3)
        figure = rows[0].figure
        figure.suptitle("Mixing weights", x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.supylabel("Share of tokens (%)", fontsize=10)
        note = "; the end bins hold all beyond" if is_cut else ""
        rows[-1].set_xlabel(f"Mixing weight (0: base only, 1: thought only{note})")


def plot_gain_by_difficulty(groups: Mapping[str, Sequence[Interval]], path: Path) -> None:
    """Base minus mixed loss for groups of tokens from easy to hard.

    Args:
        groups: by checkpoint, one value in nats per token for each group, the easiest first.
    """
    with chart(path) as (axes,):
        axes.axhline(0, color="#777777", linewidth=1)
        handles = []
        for index, (label, points) in enumerate(groups.items()):
            value, low, high = np.array(points).T
            # Side by side, so that one interval does not hide another.
            shift = 0.12 * (index - (len(groups) - 1) / 2)
            drawn = axes.errorbar(
                np.arange(1, len(value) + 1) + shift,
                value,
                yerr=[value - low, high - value],
                color=colour_of(index),
                marker=MARKERS[index % len(MARKERS)],
                markersize=5,
                linewidth=0.8,
                elinewidth=1.6,
                label=label,
            )
            handles.append(drawn)
        axes.set_xticks(range(1, 1 + max(map(len, groups.values()))))
        axes.set_title("Gain by difficulty of the token, with 95 % intervals")
        axes.set_xlabel("Tokens in groups of equal size by their base loss (1: easiest)")
        axes.set_ylabel("Base loss - mixed loss (nats per token)")
        axes.grid(axis="y")
        legend(axes, handles)


def _line_of(kind: Literal["sampled", "random", "base"]) -> dict[str, Any]:
    """How a line looks: the same three in every colour."""
    if kind == "sampled":
        return {"linewidth": 1.8, "marker": "o", "markersize": 5}
    if kind == "random":
        return {
            "linewidth": 1.2,
            "linestyle": ":",
            "marker": "s",
            "markersize": 5,
            "markerfacecolor": "white",
        }
    return {"linewidth": 1.2, "linestyle": (0, (6, 3))}


def _add_loss_legend(axes: "Axes", labels: Sequence[str], series: Sequence[LossCurve]) -> None:
    """First what the colours mean, then what the lines mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour_of(index), linewidth=5, label=label)
        for index, label in enumerate(labels)
    ]
    names: dict[Literal["sampled", "random", "base"], str] = {
        "sampled": "thoughts",
        "random": "random tokens",
        "base": "no thoughts",
    }
    shown = {curve.kind for curve in series} | {"base" for c in series if c.base is not None}
    handles += [
        Line2D([], [], color=INK, label=name, **_line_of(kind))
        for kind, name in names.items()
        if kind in shown
    ]
    handles.append(Patch(color=INK, alpha=0.15, linewidth=0, label="95 % interval"))
    legend(axes, handles)


def _draw_histogram(axes: "Axes", values: Floats, *, bins: Floats, colour: str) -> None:
    inside = np.clip(values, bins[0], bins[-1])
    shares = np.histogram(inside, bins)[0] / len(values) * 100
    axes.stairs(shares, bins, fill=True, color=colour, alpha=0.75)
    axes.axvline(0, color="#777777", linewidth=1)
    axes.set_ylim(0, 1.3 * float(shares.max()))  # room for the words above the bars
    median = float(np.median(values))
    axes.axvline(median, color=INK, linewidth=1.2, linestyle=(0, (6, 3)))
    is_at_right = median > bins[len(bins) * 3 // 4]
    axes.annotate(
        f"median {median:.3f}",
        (median, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if is_at_right else 4, -2),
        textcoords="offset points",
        ha="right" if is_at_right else "left",
        va="top",
        fontsize=9,
    )
    axes.grid(axis="y")
