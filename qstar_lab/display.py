"""Shows a running lab: a table that is drawn again on a terminal, lines in a log file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from qstar_infer.cli.terminal import safe_text
from qstar_lab.forecast import duration_text
from qstar_lab.run_stages import Observer, Running, View
from qstar_lab.stage import Stage

SECONDS_BETWEEN_LINES = 60.0
REFRESHES_PER_S = 4


@contextmanager
def shown_on(console: Console) -> Iterator[Observer]:
    """An observer that shows a run on this console."""

    def print_line(text: str, style: str = "") -> None:
        console.print(safe_text(text, style), soft_wrap=True)

    def ended(stage: Stage, seconds: float) -> None:
        print_line(f"done   {stage.name}: {stage.title}, {duration_text(seconds)}", "green")

    def found(stage: Stage) -> None:
        print_line(f"kept   {stage.name}: {stage.title}", "dim")

    if not console.is_terminal:
        lines = _Lines(console)

        def began(stage: Stage) -> None:
            print_line(f"begin  {stage.name}: {stage.title}")

        yield Observer(view=lines.view, began=began, ended=ended, found=found)
        return
    with Live(console=console, refresh_per_second=REFRESHES_PER_S, transient=True) as live:
        yield Observer(view=lambda view: live.update(table_of(view)), ended=ended, found=found)


class _Lines:
    """Prints the state of the running stages once a minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due = time.monotonic() + SECONDS_BETWEEN_LINES

    def view(self, view: View) -> None:
        if time.monotonic() < self._due or not view.running:
            return
        self._due = time.monotonic() + SECONDS_BETWEEN_LINES
        stages = ", ".join(f"{each.stage.name} {state_text(each)}" for each in view.running)
        self._console.print(safe_text(f"{summary_text(view)}: {stages}"), soft_wrap=True)


def table_of(view: View) -> Table:
    """One row per running stage, and a line about all of them."""
    table = Table(box=None, show_header=False, title_justify="left", title_style="bold")
    table.title = summary_text(view)
    for each in view.running:
        bar = ProgressBar(total=1, completed=each.share_done(), width=20)
        table.add_row(
            safe_text(each.stage.name), safe_text(each.stage.title), bar, state_text(each)
        )
    return table


def state_text(running: Running) -> str:
    """How far a stage is."""
    steps = running.stage.num_steps
    if steps:
        return f"step {running.step}/{steps}"
    return duration_text(running.elapsed())


def summary_text(view: View) -> str:
    """How far the lab is."""
    left = duration_text(view.seconds_left)
    return f"{view.num_done} of {view.num_stages} stages done, about {left} left"
