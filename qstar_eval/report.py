"""The report of a run: every figure with its interval, as JSON and as tables."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from rich import box
from rich.table import Table

from qstar_eval.answer_task import AnswerTask
from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.config import EvalConfig
from qstar_eval.held_out import HeldOutTask, difficulty_groups
from qstar_eval.results import Result, compared_with
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.cli.terminal import safe_text

Report = dict[str, Any]
"""JSON:

- `settings`, `versions`, `hardware`
- `checkpoints`: `label`, `source`, `fingerprint`, `description`, `num_thought_tokens`, `can_think`
- `results`, one for each `Result`: `task`, `checkpoint`, `num_thought_tokens`, `thoughts` (sampled,
  greedy, random, shuffled, none), `num_units`, `figures` (name to `value`, `low`, `high`); for
  held-out text also `difficulty`: `judged_by` (the label of the reference) and `groups`, easiest
  first; for answer sets also `groups`: `group`, `num_questions` and its `figures`
- `comparisons`: `task`, `this` and `other` (each `checkpoint`, `num_thought_tokens`, `thoughts`),
  `figures` of this minus other, paired
"""
_WHO = ("checkpoint", "thought", "kind")
_MAX_FIGURES = 5
"""In one table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainTable:
    """A table without a style."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def make_report(config: EvalConfig, results: Sequence[Result]) -> Report:
    """Summarise complete results.

    Args:
        results: in the order of the run. Others are compared with the first one's checkpoint.
    """
    bootstrap = Bootstrap(num_resamples=config.bootstrap_resamples, seed=config.seed)
    device = LoadOptions.resolve(dtype="auto", device=config.device, quantization="none").device
    checkpoints = {result.checkpoint.label: result for result in results}
    return {
        "settings": config.model_dump(mode="json"),
        "versions": versions(),
        "hardware": describe_device(device),
        "checkpoints": [
            asdict(result.checkpoint) | asdict(result.facts) for result in checkpoints.values()
        ],
        "results": [_summary(result, results, bootstrap) for result in results],
        "comparisons": list(_comparisons(results, bootstrap)),
    }


def tables(report: Report) -> Iterator[PlainTable]:
    """For each task: its figures; for text, the gain by difficulty; and its comparisons."""
    comparisons = _by_task(report["comparisons"])
    for name, results in _by_task(report["results"]).items():
        yield from _figure_tables(name, results)
        if any(item.get("groups") for item in results):
            yield _group_table(name, results)
        thinking = [item for item in results if "difficulty" in item and item["thoughts"] != "none"]
        if thinking:
            yield _difficulty_table(name, thinking)
        if name in comparisons:
            yield from _comparison_tables(name, comparisons[name])


def rich_table(plain: PlainTable) -> Table:
    """The table for the terminal."""
    table = Table(
        title=plain.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in plain.headings:
        is_text = heading in (*_WHO, "this", "minus")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for row in plain.rows:
        table.add_row(*map(safe_text, row))
    return table


def markdown(report: Report) -> str:
    """All tables as one Markdown page."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    parts = ["# Evaluation", f"{report['hardware']}, {versions}"]
    parts += [
        f"- {item['label']}: {item['description']} ({item['fingerprint']})"
        for item in report["checkpoints"]
    ]
    for table in tables(report):
        lines = [table.headings, ("---",) * len(table.headings), *table.rows]
        rows = [
            "| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in lines
        ]
        parts += [f"## {table.title}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _summary(result: Result, results: Sequence[Result], bootstrap: Bootstrap) -> dict[str, Any]:
    records = result.file.records()
    summary = {
        "task": result.task.name,
        **_name(result),
        "num_units": len(records),
        "figures": _figures(result.task.summarise(records, bootstrap)),
    }
    if isinstance(result.task, AnswerTask):
        groups = result.task.by_group(records, bootstrap)
        summary["groups"] = [asdict(group) for group in groups]
    if isinstance(result.task, HeldOutTask):
        first = next(other for other in results if other.task is result.task)
        reference = records if first is result else first.file.records()
        tenths, is_referenced = difficulty_groups(records, reference, bootstrap)
        summary["difficulty"] = {
            "judged_by": (first if is_referenced else result).checkpoint.label,
            "groups": [asdict(tenth) for tenth in tenths],
        }
    return summary


def _comparisons(results: Sequence[Result], bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    for result in results:
        for other in compared_with(result, results):
            records = result.file.records(), other.file.records()
            yield {
                "task": result.task.name,
                "this": _name(result),
                "other": _name(other),
                "figures": _figures(result.task.compare(*records, bootstrap)),
            }


def _name(result: Result) -> dict[str, Any]:
    return {
        "checkpoint": result.checkpoint.label,
        "num_thought_tokens": result.mode.num_thought_tokens,
        "thoughts": result.mode.kind_name,
    }


def _figures(figures: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: asdict(estimate) for name, estimate in figures.items()}


def _by_task(items: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        found.setdefault(item["task"], []).append(item)
    return found


def _figure_tables(name: str, results: Sequence[dict[str, Any]]) -> Iterator[PlainTable]:
    """As many tables as the figures need to fit a terminal."""
    number = results[0]["num_units"]
    note = f"{number} units; 95 % intervals" if number > 1 else "1 unit: no intervals"
    for names in _parts(_figure_names(results)):
        yield PlainTable(
            title=f"{name} ({note})",
            headings=(*_WHO, *(figure.replace("_", " ") for figure in names)),
            rows=[
                (*_who(result), *(_estimate(result["figures"].get(figure)) for figure in names))
                for result in results
            ],
        )


def _group_table(name: str, results: Sequence[dict[str, Any]]) -> PlainTable:
    """Without intervals and in percent, to fit a terminal; `report.json` has the intervals."""
    groups = [item["group"] for item in results[0]["groups"]]
    rows = []
    for result in results:
        shares = [100 * item["figures"]["accuracy_mixed"]["value"] for item in result["groups"]]
        rows.append((" ".join(_who(result)), *(f"{share:.0f}" for share in shares)))
    return PlainTable(
        title=f"{name}: accuracy by group in %", headings=("this", *groups), rows=rows
    )


def _difficulty_table(name: str, results: Sequence[dict[str, Any]]) -> PlainTable:
    """Without intervals and in 0.001 nats, to fit a terminal; `report.json` has the intervals."""
    judges = dict.fromkeys(result["difficulty"]["judged_by"] for result in results)
    rows = []
    for result in results:
        gains = [1000 * group["gain"]["value"] for group in result["difficulty"]["groups"]]
        rows.append((" ".join(_who(result)), *(f"{gain:+.0f}" for gain in gains)))
    num_columns = max(map(len, rows))
    return PlainTable(
        title=f"{name}: gain by difficulty in 0.001 nats; tenths of the tokens, 1 the easiest by "
        f"the base loss under {', '.join(judges)}",
        headings=("this", *(str(number) for number in range(1, num_columns))),
        rows=[(*row, *("",) * (num_columns - len(row))) for row in rows],
    )


def _comparison_tables(name: str, comparisons: Sequence[dict[str, Any]]) -> Iterator[PlainTable]:
    """As many tables as the figures need to fit a terminal."""
    for names in _parts(_figure_names(comparisons)) or [("",)]:
        rows = []
        for item in comparisons:
            sides = (" ".join(_who(item[side])) for side in ("this", "other"))
            figures = [_estimate(item["figures"].get(figure)) for figure in names]
            if not item["figures"]:
                figures = ["nothing in common", *figures[1:]]
            rows.append((*sides, *figures))
        yield PlainTable(
            title=f"{name}: differences, paired by unit",
            headings=("this", "minus", *(figure.replace("_", " ") for figure in names)),
            rows=rows,
        )


def _figure_names(items: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(figure for item in items for figure in item["figures"]))


def _parts(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names of the figures of each table, about equally many in each."""
    count = math.ceil(len(names) / _MAX_FIGURES)
    bounds = [len(names) * number // count for number in range(count + 1)] if count else []
    return [names[start:stop] for start, stop in pairwise(bounds)]


def _who(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["checkpoint"], str(item["num_thought_tokens"]), item["thoughts"]


def _estimate(figure: dict[str, float] | None) -> str:
    """`value [low, high]`."""
    if figure is None:
        return ""
    if figure["low"] == figure["value"] == figure["high"]:
        return f"{figure['value']:.4g}"
    return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"
