"""Which plots and pages a run gets, from its report and records."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qstar_eval.comparisons import against_random
from qstar_eval.held_out import HeldOutTask
from qstar_eval.page import ShadedDocument, ShadedToken, reach_of, write_page
from qstar_eval.plots import (
    GainCurve,
    Interval,
    LossCurve,
    plot_gain_by_difficulty,
    plot_loss_against_thought_length,
    plot_mixing_weights,
)
from qstar_eval.report import Report
from qstar_eval.runner import Cell
from qstar_eval.scoring import ThoughtKind
from qstar_eval.task import Record

PAGE_DOCUMENTS = 20
"""Of a page of shaded text: what one reads."""


def write_plots(report: Report, cells: Sequence[Cell], directory: Path) -> None:
    """For each text set `<task>-loss.svg`, `-difficulty.svg` and `-mixing.svg`.

    Of the checkpoints that think, in the same colours; the last two show one way of thinking of
    each. Nothing is drawn where none thinks.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, shown in _shown_by_task(cells):
        if not shown:
            continue
        results = [item for item in report["results"] if item["task"] == name]
        labels = [cell.checkpoint.label for cell in shown]
        curves = _curves([item for item in results if item["checkpoint"] in labels])
        plot_loss_against_thought_length(curves, directory / f"{name}-loss.svg")
        gains = [_gains(cell, results) for cell in _with_controls(shown, cells)]
        plot_gain_by_difficulty(gains, directory / f"{name}-difficulty.svg")
        weights = {_title(cell): _mixing_weights(cell) for cell in shown}
        plot_mixing_weights(weights, directory / f"{name}-mixing.svg")


def write_pages(cells: Sequence[Cell], directory: Path) -> None:
    """For each text set and thinking checkpoint `<task>-<label>.html`: shaded text, on one scale
    for each text set."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, shown in _shown_by_task(cells):
        pages = [
            [_document(record) for record in cell.file.records()[:PAGE_DOCUMENTS]] for cell in shown
        ]
        reach = reach_of(document for page in pages for document in page)
        for cell, documents in zip(shown, pages, strict=True):
            path = directory / f"{name}-{cell.checkpoint.label}.html"
            write_page(documents, path, f"{name}: {_title(cell)}", reach=reach)


def _shown_by_task(cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Each text set with one cell for each checkpoint that thinks."""
    tasks = {cell.task.name: cell.task for cell in cells if isinstance(cell.task, HeldOutTask)}
    for name in tasks:
        shown: dict[str, Cell] = {}
        for cell in cells:
            if cell.task.name != name or not cell.thinking.num_thought_tokens:
                continue
            label = cell.checkpoint.label
            if label not in shown or _preference(cell) > _preference(shown[label]):
                shown[label] = cell
        yield name, list(shown.values())


def _with_controls(shown: Sequence[Cell], cells: Sequence[Cell]) -> Iterator[Cell]:
    """Each cell, and its random thoughts: any second opinion gains on tokens chosen as hard."""
    for cell in shown:
        yield cell
        control = against_random(cell, cells)
        if control is not None:
            yield control


def _preference(cell: Cell) -> tuple[bool, bool, int]:
    """Thoughts rather than random tokens, then as trained, then long."""
    length = cell.thinking.num_thought_tokens
    return cell.thinking.kind == "sampled", length == cell.facts.num_thought_tokens, length


def _title(cell: Cell) -> str:
    return f"{cell.checkpoint.label} {cell.variant}"


def _curves(results: Sequence[dict[str, Any]]) -> list[LossCurve]:
    """One for each checkpoint and kind; thoughts of length 0 begin the one of sampled thoughts."""
    changes: dict[tuple[str, ThoughtKind], list[tuple[int, Interval]]] = {}
    bases = {}
    for result in results:
        kind: ThoughtKind = "random" if result["thoughts"] == "random" else "sampled"
        gain, low, high = _triple(result["figures"]["gain"])
        point = (result["num_thought_tokens"], (-gain, -high, -low))
        changes.setdefault((result["checkpoint"], kind), []).append(point)
        bases[result["checkpoint"]] = result["figures"]["loss_base"]["value"]
    return [
        LossCurve(label=label, kind=kind, base=bases[label], changes=points)
        for (label, kind), points in changes.items()
    ]


def _gains(cell: Cell, results: Sequence[dict[str, Any]]) -> GainCurve:
    return GainCurve(
        label=cell.checkpoint.label,
        variant=cell.variant,
        kind=cell.thinking.kind,
        gains=[_triple(group["gain"]) for group in _difficulty(cell, results)["groups"]],
    )


def _difficulty(cell: Cell, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The difficulty groups of a cell."""
    who = (cell.checkpoint.label, cell.thinking.num_thought_tokens, cell.thinking.kind)
    for result in results:
        if (result["checkpoint"], result["num_thought_tokens"], result["thoughts"]) == who:
            difficulty: dict[str, Any] = result["difficulty"]
            return difficulty
    raise AssertionError("every cell has its result")


def _triple(figure: dict[str, float]) -> Interval:
    return figure["value"], figure["low"], figure["high"]


def _mixing_weights(cell: Cell) -> list[float]:
    return [weight for record in cell.file.records() for weight in record["mixing_weights"]]


def _document(record: Record) -> ShadedDocument:
    lists = (record["tokens"][1:], record["base_losses"], record["mixed_losses"])
    return ShadedDocument(
        heading=f"document {record['document']}",
        opening="".join(record["tokens"][:1]),
        tokens=[
            ShadedToken(
                text=text, base_loss=base, mixed_loss=mixed, mixing_weight=weight, thought=thought
            )
            for text, base, mixed, weight, thought in zip(
                *lists, record["mixing_weights"], record["thoughts"], strict=True
            )
        ],
    )
