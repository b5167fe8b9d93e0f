"""The lab: train a tiny model in which thinking pays, measure it, and print its questions."""

import json
from typing import Annotated

import typer

from qstar_lab.corpus import questions
from qstar_lab.tasks.registry import DEFAULT_TASK, TASKS, find_task

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def lab() -> None:
    """A lab in which thinking pays."""


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
