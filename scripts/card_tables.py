"""Print the tables of the default model's card from its evaluation.

    .venv/bin/python scripts/card_tables.py runs/evaluate-default/report.json

For a report of `make evaluate-default`, whose checkpoints are `default`, `without-thoughts` and
`base`. Standard library only.
"""

import argparse
import json
from pathlib import Path
from typing import Any, cast

TEXTS = {"openwebtext": "OpenWebText", "math500": "MATH-500"}
QUESTIONS = {"gsm8k-probability": "GSM8K", "commonsense_qa-probability": "CommonsenseQA"}
LENGTH = 4
"""Thought length in all tables except the one by length."""

Figures = dict[str, dict[str, float]]
Source = tuple[str, int, str]
"""Checkpoint, thought length and kind of thoughts of a result."""


class Report:
    """Looks up results and differences in an evaluation report."""

    def __init__(self, path: Path) -> None:
        self._report = json.loads(path.read_text("utf-8"))

    def figures(self, task: str, checkpoint: str, length: int, thoughts: str) -> Figures:
        return cast(Figures, self._result(task, (checkpoint, length, thoughts))["figures"])

    def hardest_tenth(self, task: str) -> Figures:
        result = self._result(task, ("default", LENGTH, "sampled"))
        return cast(Figures, result["difficulty"]["groups"][-1])

    def difference(self, task: str, checkpoint: str, length: int, thoughts: str) -> Figures:
        """The control minus the default model with sampled thoughts."""
        wanted = [(checkpoint, length, thoughts), ("default", LENGTH, "sampled")]
        for comparison in self._report["comparisons"]:
            sides = [tuple(comparison[side].values()) for side in ("this", "other")]
            if comparison["task"] != task or sorted(sides) != sorted(wanted):
                continue
            is_reversed = sides != wanted
            return {k: _negated(v) if is_reversed else v for k, v in comparison["figures"].items()}
        raise SystemExit(f"The report does not compare {wanted[0]} with {wanted[1]} on {task}.")

    def _result(self, task: str, wanted: Source) -> dict[str, Any]:
        results: list[dict[str, Any]] = self._report["results"]
        for result in results:
            keys = (result["checkpoint"], result["num_thought_tokens"], result["thoughts"])
            if result["task"] == task and keys == wanted:
                return result
        raise SystemExit(f"The report has no result for {task} of {wanted}.")


def losses(report: Report) -> None:
    rows = {
        "untouched base": ("base", 0, "none", "loss_base"),
        "the same training without thoughts": ("without-thoughts", 0, "none", "loss_base"),
        "this model, not thinking": ("default", LENGTH, "sampled", "loss_base"),
        "**this model, thinking**": ("default", LENGTH, "sampled", "loss_mixed"),
        "this model, random words for thoughts": ("default", LENGTH, "random", "loss_mixed"),
    }
    print_figures(report, "loss", TEXTS, rows, digits=3)


def differences(report: Report) -> None:
    controls = {
        "untouched base": ("base", 0, "none"),
        "the same training without thoughts": ("without-thoughts", 0, "none"),
        "random words for thoughts": ("default", LENGTH, "random"),
    }
    print_head("than", TEXTS)
    for name, which in controls.items():
        print_row(name, [report.difference(t, *which)["loss_mixed"] for t in TEXTS], digits=3)
    own = [report.figures(task, "default", LENGTH, "sampled")["gain"] for task in TEXTS]
    print_row("itself, not thinking", own, digits=3)
    hardest = [report.hardest_tenth(task)["gain"] for task in TEXTS]
    print_row("itself, not thinking, hardest tenth of the tokens", hardest, digits=3)


def lengths(report: Report) -> None:
    print_head("gain over not thinking", TEXTS)
    for length in (4, 8, 12, 16):
        gains = [report.figures(task, "default", length, "sampled")["gain"] for task in TEXTS]
        print_row(f"{length} tokens", gains, digits=3)


def questions(report: Report) -> None:
    rows = {
        "untouched base": ("base", 0, "none", "base_probability"),
        "the same training without thoughts": ("without-thoughts", 0, "none", "base_probability"),
        "this model, not thinking": ("default", LENGTH, "sampled", "base_probability"),
        "**this model, thinking**": ("default", LENGTH, "sampled", "mixed_probability"),
        "gain of thinking": ("default", LENGTH, "sampled", "gain"),
    }
    print_figures(report, "", QUESTIONS, rows, digits=4)


def print_figures(
    report: Report,
    corner: str,
    tasks: dict[str, str],
    rows: dict[str, tuple[str, int, str, str]],
    *,
    digits: int,
) -> None:
    """Print a table; each row names checkpoint, length, thoughts and figure of its cells."""
    print_head(corner, tasks)
    for name, (checkpoint, length, thoughts, figure) in rows.items():
        found = [report.figures(task, checkpoint, length, thoughts) for task in tasks]
        print_row(name, [figures[figure] for figures in found], digits=digits)


def print_head(corner: str, tasks: dict[str, str]) -> None:
    print(f"\n| {' | '.join([corner, *tasks.values()])} |".replace("|  |", "| |"))
    print("|---" * (1 + len(tasks)) + "|")


def print_row(name: str, figures: list[dict[str, float]], *, digits: int) -> None:
    cells = [
        f"{figure['value']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"
        for figure in figures
    ]
    print(f"| {' | '.join([name, *cells])} |")


def _negated(figure: dict[str, float]) -> dict[str, float]:
    return {"value": -figure["value"], "low": -figure["high"], "high": -figure["low"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    report = Report(parser.parse_args().report)
    for table in (losses, differences, lengths, questions):
        table(report)


if __name__ == "__main__":
    main()
