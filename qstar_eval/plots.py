"""The evaluator's charts: plain numbers in, SVG files out.

matplotlib is an optional extra, so it is imported only when a chart is drawn.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qstar_eval.config import ThoughtKind
from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]
"""A value and the ends of its 95 % interval."""


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's: distinct for every kind of colour vision."""
MAX_LABEL = 28
"""Most characters of a label in a legend."""
INK, PALE = "#222222", "#dddddd"

_STYLE: dict[Any, Any] = {
    "figure.constrained_layout.w_pad": 0.12,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "svg.fonttype": "none",  # text stays text: small files, searchable, read aloud
    "svg.hashsalt": "qstar",  # the same numbers give the same file
    "text.parse_math": False,  # a checkpoint's name may contain a dollar sign
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_BASE_LINE: dict[str, Any] = {"color": "#777777", "linewidth": 1.2, "linestyle": (0, (6, 3))}
_LINES: dict[ThoughtKind, dict[str, Any]] = {
    "sampled": {"linewidth": 1.2, "marker": "o", "markersize": 5},
    "greedy": {"linewidth": 1.2, "linestyle": (0, (4, 2)), "marker": "^", "markersize": 5},
    "random": {
        "linewidth": 1.2,
        "linestyle": ":",
        "marker": "s",
        "markersize": 5,
        "markerfacecolor": "white",
    },
    "shuffled": {
        "linewidth": 1.2,
        "linestyle": (0, (1, 3)),
        "marker": "D",
        "markersize": 5,
        "markerfacecolor": "white",
    },
}
"""Line styles, the same for every colour."""
_KINDS: dict[ThoughtKind, str] = {
    "sampled": "thoughts",
    "greedy": "greedy thoughts",
    "random": "random tokens",
    "shuffled": "others' thoughts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Figures of one checkpoint with one kind of thoughts."""

    label: str
    """The checkpoint; curves of the same one share a colour."""
    kind: ThoughtKind
    points: Sequence[tuple[int, Interval]]
    """`(x, figure)`; the chart names the unit."""
    note: str = ""
    """Shown with the checkpoint in the legend."""


def plot_loss_against_thought_length(curves: Sequence[Curve], path: Path) -> None:
    """Plot `mixed loss - base loss`, paired, against the number of thought tokens.

    Losses of documents differ a hundred times more than thoughts change them, so only the interval
    of the paired change says something about thoughts.
    """
    lengths = sorted({x for curve in curves for x, _ in curve.points})
    with chart(path) as (axes,):
        draw_curves(axes, curves, spread=max(lengths[-1] - lengths[0], 1) / 4)
        axes.set_xticks(lengths)
        axes.set_xlim(lengths[0] - 0.5, lengths[-1] + 0.5)
        axes.set_title("Loss against thought length, with 95 % intervals")
        axes.set_xlabel("Length of a thought (tokens)")
        axes.set_ylabel("Mixed loss - base loss (nats per token)")


def plot_gain_by_difficulty(curves: Sequence[Curve], path: Path) -> None:
    """Plot `base loss - mixed loss` for groups of tokens, numbered from 1, the easiest."""
    with chart(path) as (axes,):
        draw_curves(axes, curves)
        axes.set_xticks(range(1, 1 + max(len(curve.points) for curve in curves)))
        axes.set_title("Gain by difficulty of the token, with 95 % intervals")
        axes.set_xlabel("Tokens in groups of equal size by their base loss (1: easiest)")
        axes.set_ylabel("Base loss - mixed loss (nats per token)")


def plot_mixing_weights(weights: Mapping[str, Sequence[float]], path: Path) -> None:
    """Plot a histogram of the mixing weights for each checkpoint.

    Args:
        weights: the mixing weight at each token, by checkpoint.
    """
    arrays = {label: np.asarray(values, dtype=float) for label, values in weights.items()}
    # A few extreme tokens would squeeze all others together, so they go into the end bins.
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


def _draw_histogram(axes: "Axes", values: Floats, *, bins: Floats, colour: str) -> None:
    inside = np.clip(values, bins[0], bins[-1])
    shares = np.histogram(inside, bins)[0] / len(values) * 100
    # Most weights are in a few bins; only a logarithmic axis also shows the tails.
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    least = 50 / len(values)  # half a token
    axes.stairs(shares, bins, baseline=least, fill=True, color=colour, alpha=0.75)
    axes.axvline(0, color="#777777", linewidth=1)
    axes.set_ylim(least, 5 * float(shares.max()))  # room for the annotation above the bars
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


def draw_curves(
    axes: "Axes", curves: Sequence[Curve], *, spread: float = 1.0, has_base_line: bool = True
) -> None:
    """Draw each point with its interval, and the legend.

    Args:
        spread: scales the distance between curves, so that intervals do not hide each other.
        has_base_line: whether 0 stands for no thoughts.
    """
    labels = list(dict.fromkeys(curve.label for curve in curves))
    if has_base_line:
        axes.axhline(0, **_BASE_LINE)
    for index, curve in enumerate(curves):
        x, points = zip(*sorted(curve.points), strict=True)
        value, low, high = np.array(points).T
        axes.errorbar(
            np.array(x) + 0.12 * (index - (len(curves) - 1) / 2) * spread,
            value,
            yerr=[value - low, high - value],
            color=colour_of(labels.index(curve.label)),
            elinewidth=1.6,
            **_LINES[curve.kind],
        )
    axes.grid(axis="y")
    notes = {curve.label: f"\n({curve.note})" for curve in curves if curve.note}
    _add_legend(
        axes,
        {label: notes.get(label, "") for label in labels},
        {c.kind for c in curves},
        has_base_line,
    )


def _add_legend(
    axes: "Axes", notes: Mapping[str, str], kinds: AbstractSet[ThoughtKind], has_base_line: bool
) -> None:
    """The key to the colours, with a note on each, then the key to the lines."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour_of(index), linewidth=5, label=shortened(label) + note)
        for index, (label, note) in enumerate(notes.items())
    ]
    handles += [
        Line2D([], [], color=INK, label=name, **_LINES[kind])
        for kind, name in _KINDS.items()
        if kind in kinds
    ]
    if has_base_line:
        handles.append(Line2D([], [], label="no thoughts", **_BASE_LINE))
    legend(axes, handles)


@contextmanager
def chart(
    path: Path, *, num_rows: int = 1, num_columns: int = 1, size: tuple[float, float] = (7.6, 4.2)
) -> Iterator[Sequence["Axes"]]:
    """Give axes to draw on, row by row, and save the figure to `path`; `size` is in inches.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            f"charts need matplotlib, which is not installed ({error}). Install it with "
            "pip install 'qstar[train]', or do without charts."
        ) from error
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # The local font may lack a label's script; the reader's browser has others.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        yield figure.subplots(num_rows, num_columns, squeeze=False, sharex="col").ravel().tolist()
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=150, facecolor="white")


def legend(axes: "Axes", handles: Sequence[Any]) -> None:
    """Put a legend outside the axes, where it covers nothing."""
    # Labels are passed explicitly: matplotlib skips handles whose label starts with _.
    labels = [str(handle.get_label()) for handle in handles]
    axes.figure.legend(handles, labels, loc="outside right upper")


def shortened(label: str) -> str:
    """The end of a long label: there paths and checkpoints differ."""
    return label if len(label) <= MAX_LABEL else "\N{HORIZONTAL ELLIPSIS}" + label[1 - MAX_LABEL :]


def colour_of(index: int) -> str:
    """The colour of a checkpoint; colours repeat after the last."""
    return COLOURS[index % len(COLOURS)]
