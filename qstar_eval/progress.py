"""What `qstar eval` shows while it measures: a bar on a terminal, lines in a log file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from qstar_eval.runner import Progress

SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def shown_on(console: Console) -> "Iterator[Callable[[Progress], None]]":
    """A function that shows where the run is: one checkpoint, task and way of thinking."""
    if console.is_terminal:
        with _bar(console) as on_progress:
            yield on_progress
    else:
        yield _lines(console)


def _lines(console: Console) -> "Callable[[Progress], None]":
    """A line when another thing begins, when it is done, and once a minute."""
    shown, due = "", 0.0

    def on_progress(progress: "Progress") -> None:
        nonlocal shown, due
        description, now = _describe(progress), time.monotonic()
        is_done = progress.num_done == progress.num_units
        if description == shown and now < due and not is_done:
            return
        shown, due = description, now + SECONDS_BETWEEN_LINES
        count = f" {progress.num_done}/{progress.num_units}" if progress.task else ""
        console.print(description + count, soft_wrap=True, markup=False, highlight=False)

    return on_progress


@contextmanager
def _bar(console: Console) -> "Iterator[Callable[[Progress], None]]":
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", total=None)

        def on_progress(progress: "Progress") -> None:
            description = _describe(progress)
            if description != bar.tasks[0].description:
                bar.reset(shown, completed=progress.num_done, description=description)
            total = progress.num_units if progress.task else None
            bar.update(shown, completed=progress.num_done, total=total)

        yield on_progress


def _describe(progress: "Progress") -> str:
    what = f"{progress.task} {progress.variant}" if progress.task else "loading"
    return f"{progress.label}: {what}"
