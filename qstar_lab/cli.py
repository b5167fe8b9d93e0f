"""The lab: train a tiny model in which thinking pays, measure it, and print its questions."""

import json
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from qstar_infer.cli.terminal import safe_text
from qstar_infer.errors import ConfigError
from qstar_lab.corpus import questions
from qstar_lab.tasks.registry import DEFAULT_TASK, TASKS, find_task

INTERRUPTED_EXIT_CODE = 130
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def lab(
    context: typer.Context,
    *,
    out: Annotated[
        Path, typer.Option(help="Directory of the lab. An interrupted lab continues there.")
    ] = Path("runs/lab"),
    seeds: Annotated[
        int, typer.Option(help="Train so many models, and report means over them.", min=1)
    ] = 1,
    jobs: Annotated[
        int | None,
        typer.Option(help="Stages that run at once.", min=1, show_default="number of cores"),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(TASKS)}. Repeatable.", show_default="all"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", hidden=True)] = False,
) -> None:
    """Train a tiny model from scratch in which thinking pays, and measure it."""
    if context.invoked_subcommand is not None:
        _check_none_given(context)
        return
    from qstar_lab.display import shown_on  # nothing of this is needed for the questions
    from qstar_lab.lab import command_text, run_lab, summary_text
    from qstar_lab.recipe import recipes_of

    recipes = recipes_of([find_task(name).name for name in task or TASKS], is_quick=quick)
    console = Console(stderr=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with shown_on(console) as observer:
            run = run_lab(
                recipes,
                out,
                num_seeds=seeds,
                num_jobs=jobs or num_cores(),
                observer=observer,
            )
    except KeyboardInterrupt:
        text = f"Stopped. The same command continues: {command_text()}"
        console.print(safe_text(text), soft_wrap=True)
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    typer.echo(summary_text(run))
    console.print(safe_text(f"The page is {out / 'index.html'}."), soft_wrap=True)


def _check_none_given(context: typer.Context) -> None:
    """Refuse options of the lab before the name of a command, which has its own."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option, command = parameter.opts[0], context.invoked_subcommand
            raise ConfigError(
                f"{option} before {command!r} would have no effect: it is an option of the lab. "
                f"Write the options of {command!r} behind its name."
            )


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _interrupt(*_: Any) -> None:
    """A request to end is like Ctrl-C: the stages must be ended too."""
    raise KeyboardInterrupt


@app.command("questions")
def print_questions(
    *,
    count: Annotated[int, typer.Option(help="How many questions.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Another seed draws other questions.", min=0)] = 0,
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")] = DEFAULT_TASK,
) -> None:
    """Print held-out questions as JSON lines: {"prompt": "...", "answer": "..."}."""
    for question in questions(find_task(task), count=count, seed=seed):
        typer.echo(json.dumps(question))
