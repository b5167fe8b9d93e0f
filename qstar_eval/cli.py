"""`qstar eval`: measures what thinking is worth, for one or several checkpoints."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import progress as bars
from rich.console import Console

from qstar_eval.config import EvalConfig
from qstar_infer.cli.terminal import printable, safe_text
from qstar_train.config_file import load_config

if TYPE_CHECKING:
    from qstar_eval.report import Report
    from qstar_eval.runner import Progress

SECONDS_BETWEEN_LINES = 60.0


def evaluate(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            help="Directories, .gguf files or hub ids; `label=` before one names it. `default` is "
            "the default model (also if none is given), `base` the same model before training. All "
            "others are compared with the first.",
            metavar="[CHECKPOINT]...",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[Path, typer.Option(help="YAML file that says what to measure.")],
    out: Annotated[
        Path,
        typer.Option(help="Directory for records and report. An interrupted run continues there."),
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value of the file: key=value. Repeatable."),
    ] = None,
) -> None:
    """Measure what thinking is worth: loss of held-out text, and answers to questions."""
    report = _run(load_config(EvalConfig, config, assignments or []), checkpoints or [], out)
    _print(report, out)


def _run(config: EvalConfig, checkpoints: list[str], out: Path) -> "Report":
    """Check config, files and tokenizers before a model is loaded, then measure.

    What only weights show, such as a loss that is not finite, ends the run at that checkpoint. All
    records are kept.
    """
    console = Console(stderr=True)
    with console.status("Reading checkpoints and data"):
        from qstar_eval.checkpoints import find_checkpoints  # imports torch: only when needed
        from qstar_eval.output import write_output
        from qstar_eval.provenance import locked
        from qstar_eval.runner import Evaluation, check_tokenizers, make_tasks
        from qstar_infer.checkpoint.options import LoadOptions

        LoadOptions.resolve(dtype=config.dtype, device=config.device, quantization="none")
        tasks = make_tasks(config)
        found = find_checkpoints(checkpoints)
        check_tokenizers(found, tasks)
    with locked(out):
        with _progress_on(console) as on_progress:
            evaluation = Evaluation(
                config, found, tasks=tasks, directory=out, on_progress=on_progress
            )
            results = evaluation.run()
        with console.status("Summarising"):
            return write_output(config, results, out)


def _print(report: "Report", out: Path) -> None:
    from qstar_eval.report import rich_table, tables

    console = Console()
    for table in tables(report):
        console.print(rich_table(table))
    Console(stderr=True).print(safe_text(f"Written to {out}."), soft_wrap=True)


@contextmanager
def _progress_on(console: Console) -> "Iterator[Callable[[Progress], None]]":
    """Give a function that shows progress: a bar on a terminal, lines in a log file."""
    if console.is_terminal:
        with _bar(console) as on_progress:
            yield on_progress
    else:
        yield _lines(console)


def _lines(console: Console) -> "Callable[[Progress], None]":
    """Print a line when a result begins, when it is complete, and once a minute."""
    shown, due = "", 0.0

    def on_progress(progress: "Progress") -> None:
        nonlocal shown, due
        description, now = _describe(progress), time.monotonic()
        is_done = progress.num_done == progress.num_examples
        if description == shown and now < due and not is_done:
            return
        shown, due = description, now + SECONDS_BETWEEN_LINES
        count = f" {progress.num_done}/{progress.num_examples}" if progress.task else ""
        console.print(safe_text(description + count), soft_wrap=True)

    return on_progress


@contextmanager
def _bar(console: Console) -> "Iterator[Callable[[Progress], None]]":
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=16),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("ETA"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", total=None)

        def on_progress(progress: "Progress") -> None:
            description = _describe(progress)
            if description != bar.tasks[0].description:
                bar.reset(shown, completed=progress.num_done, description=description)
            total = progress.num_examples if progress.task else None
            bar.update(shown, completed=progress.num_done, total=total)

        yield on_progress


def _describe(progress: "Progress") -> str:
    what = f"{progress.task} {progress.mode}" if progress.task else "loading"
    return printable(f"{progress.label}: {what}")
