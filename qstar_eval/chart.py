"""What all charts share: style, colours, legend, and saving to a file.

matplotlib is an optional extra, so it is imported only when a chart is drawn.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
