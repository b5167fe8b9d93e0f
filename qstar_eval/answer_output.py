"""The charts and pages of answer sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qstar_eval.answer_page import write_answer_page
from qstar_eval.answer_plots import plot_accuracy_against_thought_length, plot_accuracy_by_group
from qstar_eval.answer_task import AnswerTask
from qstar_eval.config import ThoughtKind
from qstar_eval.plots import Curve, Interval
from qstar_eval.results import Result, shown_by_task

PAGE_QUESTIONS = 100
"""Questions on one page: as much as one reads."""


def write_answer_plots(report: dict[str, Any], results: Sequence[Result], directory: Path) -> None:
    """Write `<task>-accuracy.svg` for each answer set, and, if it has groups,
    `<task>-<label>-groups.svg` for each of its checkpoints, without thoughts and with sampled ones.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys(r.task.name for r in results if isinstance(r.task, AnswerTask))
    for name in names:
        items = [item for item in report["results"] if item["task"] == name]
        plot_accuracy_against_thought_length(
            _length_curves(items), directory / f"{name}-accuracy.svg"
        )
        for label in dict.fromkeys(item["checkpoint"] for item in items):
            own = [
                item
                for item in items
                if item["checkpoint"] == label and item["thoughts"] in ("none", "sampled")
            ]
            if own and own[0]["groups"]:
                plot_accuracy_by_group(
                    [_group_curve(item) for item in own],
                    directory / f"{name}-{label}-groups.svg",
                    groups=[group["group"] for group in own[0]["groups"]],
                )


def write_answer_pages(results: Sequence[Result], directory: Path) -> None:
    """Write `<task>-<label>.html` for each answer set and thinking checkpoint."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, shown in shown_by_task(results, AnswerTask):
        for result in shown:
            label = result.checkpoint.label
            write_answer_page(
                result.file.records()[:PAGE_QUESTIONS],
                directory / f"{name}-{label}.html",
                title=f"{name}: {label} {result.mode.name}",
            )


def _length_curves(items: Sequence[dict[str, Any]]) -> list[Curve]:
    """One for each checkpoint and kind. Every result has its accuracy without thoughts too, which
    is the first point of each curve."""
    points: dict[tuple[str, ThoughtKind], dict[int, Interval]] = {}
    for item in items:
        kind: ThoughtKind = "sampled" if item["thoughts"] == "none" else item["thoughts"]
        of_curve = points.setdefault((item["checkpoint"], kind), {})
        of_curve[0] = _interval(item["figures"]["accuracy_base"])
        of_curve[item["num_thought_tokens"]] = _interval(item["figures"]["accuracy_mixed"])
    return [
        Curve(label=label, kind=kind, points=list(of_curve.items()))
        for (label, kind), of_curve in points.items()
    ]


def _group_curve(item: dict[str, Any]) -> Curve:
    length = item["num_thought_tokens"]
    return Curve(
        label=("1 token" if length == 1 else f"{length} tokens") if length else "no thoughts",
        kind="sampled",
        points=[
            (place, _interval(group["figures"]["accuracy_mixed"]))
            for place, group in enumerate(item["groups"])
        ],
    )


def _interval(figure: dict[str, float]) -> Interval:
    return figure["value"], figure["low"], figure["high"]
