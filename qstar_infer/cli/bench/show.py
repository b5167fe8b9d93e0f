"""Shows what `qstar bench` measures: a progress bar, a table, JSON and a chart."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from qstar_infer.bench.plot import check_plot, plot
from qstar_infer.bench.report import Cell, Report, Table
from qstar_infer.cli.terminal import printable, safe_text
from qstar_infer.errors import ConfigError

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def check_outputs(json_file: Path | None, plot_file: Path | None) -> None:
    """Check that the files can be written, before minutes of measuring.

    Raises:
        ConfigError: a directory does not exist, or matplotlib is not installed.
    """
    for option, path in (("--json", json_file), ("--plot", plot_file)):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{option} {path}: its directory does not exist; create it first")
    if plot_file is not None:
        check_plot()


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, and what to call with the number of calls done and of all calls."""
    console = Console(stderr=True)
    with Progress(*_COLUMNS, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("Loading and warming up", total=None)

        def on_call(num_done: int, num_calls: int) -> None:
            progress.update(task, description="Measuring", completed=num_done, total=num_calls)

        yield on_call


def show_report(report: Report, *, json_file: Path | None, plot_file: Path | None) -> None:
    """Print a report, and write the files that were asked for."""
    console = Console()
    console.print(rich_table(report.table))
    ratios = ", ".join(f"{name} {value:.2f}" for name, value in report.ratios.items())
    lines = [*([ratios] if ratios else []), *report.notes, *report.header.lines()]
    for line in lines:
        console.print(safe_text(line), soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    if plot_file is not None:
        header = report.header
        subtitle = f"{header.model}, {header.runner}, {header.dtype}, {header.machine_line}"
        plot(report.chart, plot_file, subtitle=printable(subtitle))


def rich_table(table: Table) -> RichTable:
    """The table for a terminal."""
    shown = RichTable(title=table.title)
    for index, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if index else "left")
    for row in table.rows:
        shown.add_row(*(safe_text(cell_text(cell)) for cell in row))
    return shown


def cell_text(cell: Cell) -> str:
    """Numbers with three digits that count; a dash for what was not measured."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return (
            f"{cell:.2f}" if abs(cell) < 10 else f"{cell:.1f}" if abs(cell) < 100 else f"{cell:.0f}"
        )
    return str(cell)
