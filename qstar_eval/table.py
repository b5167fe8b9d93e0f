"""A report as tables: of the terminal, and of Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from qstar_eval.report import Report

_WHO = ("checkpoint", "thought", "kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A table before it has a look."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(report: Report) -> Iterator[Cells]:
    """For each task its figures; for text the gain by difficulty, of those that think; the
    comparisons."""
    compared = _by_task(report["comparisons"])
    for name, results in _by_task(report["results"]).items():
        yield _figures(name, results)
        thinking = [item for item in results if "difficulty" in item and item["thoughts"] != "none"]
        if thinking:
            yield _difficulty(name, thinking)
        if name in compared:
            yield _comparisons(name, compared[name])


def rich_table(cells: Cells) -> Table:
    """For the terminal."""
    table = Table(title=cells.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in cells.headings:
        is_text = heading in (*_WHO, "this", "minus")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for row in cells.rows:
        table.add_row(*map(Text, row))  # brackets are no markup
    return table


def markdown(report: Report) -> str:
    """The same tables as one Markdown page."""
    parts = ["# Evaluation", f"{report['hardware']}, {_versions(report)}"]
    parts += [
        f"- {item['label']}: {item['description']} ({item['fingerprint']})"
        for item in report["checkpoints"]
    ]
    for cells in tables(report):
        lines = [cells.headings, ("---",) * len(cells.headings), *cells.rows]
        rows = [
            "| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in lines
        ]
        parts += [f"## {cells.title}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _by_task(items: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        found.setdefault(item["task"], []).append(item)
    return found


def _versions(report: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in report["versions"].items())


def _figures(name: str, results: Sequence[dict[str, Any]]) -> Cells:
    names = tuple(dict.fromkeys(figure for result in results for figure in result["figures"]))
    return Cells(
        title=f"{name} ({_units(results[0]['num_units'])})",
        headings=(*_WHO, *(figure.replace("_", " ") for figure in names)),
        rows=[
            (*_who(result), *(_estimate(result["figures"].get(figure)) for figure in names))
            for result in results
        ],
    )


def _units(number: int) -> str:
    return f"{number} units; 95 % intervals" if number > 1 else "1 unit: no intervals"


def _difficulty(name: str, results: Sequence[dict[str, Any]]) -> Cells:
    """Without intervals, and in small units, to fit a terminal; the report has them in full."""
    judges = dict.fromkeys(result["difficulty"]["judged_by"] for result in results)
    rows = []
    for result in results:
        gains = [1000 * group["gain"]["value"] for group in result["difficulty"]["groups"]]
        rows.append((" ".join(_who(result)), *(f"{gain:+.0f}" for gain in gains)))
    num_columns = max(map(len, rows))
    return Cells(
        title=f"{name}: gain by difficulty in 0.001 nats; tenths of the tokens, 1 the easiest by "
        f"the base loss under {', '.join(judges)}",
        headings=("this", *(str(number) for number in range(1, num_columns))),
        rows=[(*row, *("",) * (num_columns - len(row))) for row in rows],
    )


def _comparisons(name: str, comparisons: Sequence[dict[str, Any]]) -> Cells:
    names = tuple(dict.fromkeys(figure for item in comparisons for figure in item["figures"]))
    rows = []
    for item in comparisons:
        sides = (" ".join(_who(item[side])) for side in ("this", "other"))
        figures = [_estimate(item["figures"].get(figure)) for figure in names]
        if not item["figures"]:
            figures = ["nothing in common", *figures[1:]]
        rows.append((*sides, *figures))
    return Cells(
        title=f"{name}: differences, paired by unit",
        headings=("this", "minus", *(figure.replace("_", " ") for figure in names or ("",))),
        rows=rows,
    )


def _who(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["checkpoint"], str(item["num_thought_tokens"]), item["thoughts"]


def _estimate(figure: dict[str, float] | None) -> str:
    """`value [low, high]`."""
    if figure is None:
        return ""
    if figure["low"] == figure["value"] == figure["high"]:
        return f"{figure['value']:.4g}"
    return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"
