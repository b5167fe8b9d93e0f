"""Charts of answer sets: accuracy against thought length, and by group."""

from collections.abc import Sequence
from pathlib import Path

from qstar_eval.plots import Curve, chart, draw_curves


def plot_accuracy_against_thought_length(curves: Sequence[Curve], path: Path) -> None:
    """Plot the share of right answers; length 0 is without thoughts.

    Lengths are at equal distances: they usually double.

    Args:
        curves: points are `(num_thought_tokens, share)`.
    """
    lengths = sorted({x for curve in curves for x, _ in curve.points})
    placed = [
        Curve(
            label=curve.label,
            kind=curve.kind,
            points=[(lengths.index(x), share) for x, share in curve.points],
            note=curve.note,
        )
        for curve in curves
    ]
    _plot_shares(
        placed,
        path,
        names=list(map(str, lengths)),
        title="Accuracy by thought length",
        axis="Length of a thought (tokens; 0: no thoughts)",
    )


def plot_accuracy_by_group(curves: Sequence[Curve], path: Path, *, groups: Sequence[str]) -> None:
    """Plot the share of right answers in each group.

    Args:
        curves: points are `(index of the group, share)`.
    """
    _plot_shares(curves, path, names=groups, title="Accuracy by group", axis="Group")


def _plot_shares(
    curves: Sequence[Curve], path: Path, *, names: Sequence[str], title: str, axis: str
) -> None:
    with chart(path) as (axes,):
        draw_curves(axes, curves, spread=0.5, has_base_line=False)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(0, 1.02)
        axes.set_title(f"{title}, with 95 % intervals")
        axes.set_xlabel(axis)
        axes.set_ylabel("Share of right answers")
