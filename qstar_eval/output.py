"""The files of a finished run: report, tables, plots, and pages of shaded text and of answers."""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qstar_eval.answer_output import write_answer_pages, write_answer_plots
from qstar_eval.config import EvalConfig, ThoughtKind
from qstar_eval.held_out import HeldOutTask
from qstar_eval.page import max_gain_of, write_page
from qstar_eval.plots import (
    Curve,
    Interval,
    plot_gain_by_difficulty,
    plot_loss_against_thought_length,
    plot_mixing_weights,
)
from qstar_eval.report import Report, make_report, markdown
from qstar_eval.results import Result, controls, shown_by_task
from qstar_eval.task import write_json

logger = logging.getLogger(__name__)

PAGE_DOCUMENTS = 20
"""Documents on one page of shaded text: as much as one reads."""


def write_output(config: EvalConfig, results: Sequence[Result], directory: Path) -> Report:
    """Write `report.json`, `report.md`, `pages/` and `plots/`. Returns the report.

    Plots and pages of earlier calls are deleted, as they may be of other checkpoints or sets.
    Without matplotlib, a warning replaces the plots.
    """
    pages, plots = directory / "pages", directory / "plots"
    report = make_report(config, results)
    # Deleted first: if writing fails, no old file remains next to a newer report.
    for old in [*pages.glob("*.html"), *plots.glob("*.svg")]:
        old.unlink()
    write_json(directory / "report.json", report)
    (directory / "report.md").write_text(markdown(report), encoding="utf-8")
    write_pages(results, pages)
    write_answer_pages(results, pages)
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("No plots: matplotlib is not installed (pip install 'qstar[train]').")
    else:
        write_plots(report, results, plots)
        write_answer_plots(report, results, plots)
    return report


def write_plots(report: Report, results: Sequence[Result], directory: Path) -> None:
    """Write `<task>-loss.svg`, `-difficulty.svg` and `-mixing.svg` for each text set.

    They show the checkpoints that think, in the same colours; the last two show one thinking mode
    of each. A text set has no plots if no checkpoint thinks.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, shown in shown_by_task(results, HeldOutTask):
        if not shown:
            continue
        summaries = [item for item in report["results"] if item["task"] == name]
        labels = [result.checkpoint.label for result in shown]
        curves = _loss_curves([item for item in summaries if item["checkpoint"] in labels])
        plot_loss_against_thought_length(curves, directory / f"{name}-loss.svg")
        # With the control: any second opinion gains on tokens chosen as hard.
        pairs = [each for result in shown for each in (result, *controls(result, results))]
        gains = [_gain_curve(result, summaries) for result in pairs]
        plot_gain_by_difficulty(gains, directory / f"{name}-difficulty.svg")
        weights = {_title(result): _mixing_weights(result) for result in shown}
        plot_mixing_weights(weights, directory / f"{name}-mixing.svg")


def write_pages(results: Sequence[Result], directory: Path) -> None:
    """Write `<task>-<label>.html` for each text set and thinking checkpoint.

    The pages of a text set share one scale.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, shown in shown_by_task(results, HeldOutTask):
        pages = [result.file.records()[:PAGE_DOCUMENTS] for result in shown]
        max_gain = max_gain_of(record for page in pages for record in page)
        for result, page in zip(shown, pages, strict=True):
            path = directory / f"{name}-{result.checkpoint.label}.html"
            write_page(page, path, title=f"{name}: {_title(result)}", max_gain=max_gain)


def _title(result: Result) -> str:
    return f"{result.checkpoint.label} {result.mode.name}"


def _loss_curves(summaries: Sequence[dict[str, Any]]) -> list[Curve]:
    """One for each checkpoint and kind. Length 0 is the first point of sampled thoughts."""
    changes: dict[tuple[str, ThoughtKind], list[tuple[int, Interval]]] = {}
    notes = {}
    for item in summaries:
        kind: ThoughtKind = "sampled" if item["thoughts"] == "none" else item["thoughts"]
        gain, low, high = _interval(item["figures"]["gain"])
        point = (item["num_thought_tokens"], (-gain, -high, -low))
        changes.setdefault((item["checkpoint"], kind), []).append(point)
        notes[item["checkpoint"]] = f"base loss {item['figures']['loss_base']['value']:.3f}"
    return [
        Curve(label=label, kind=kind, points=points, note=notes[label])
        for (label, kind), points in changes.items()
    ]


def _gain_curve(result: Result, summaries: Sequence[dict[str, Any]]) -> Curve:
    wanted = (result.checkpoint.label, result.mode.num_thought_tokens, result.mode.kind)
    groups = next(
        item["difficulty"]["groups"]
        for item in summaries
        if (item["checkpoint"], item["num_thought_tokens"], item["thoughts"]) == wanted
    )
    return Curve(
        label=result.checkpoint.label,
        kind=result.mode.kind,
        points=list(enumerate((_interval(group["gain"]) for group in groups), start=1)),
        note=result.mode.name if result.mode.kind == "sampled" else "",
    )


def _interval(figure: dict[str, float]) -> Interval:
    return figure["value"], figure["low"], figure["high"]


def _mixing_weights(result: Result) -> list[float]:
    return [weight for record in result.file.records() for weight in record["mixing_weights"]]
