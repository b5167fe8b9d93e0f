"""`qstar inspect`: what a checkpoint is, and whether it would load, without loading its weights."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from qstar_infer.cli.terminal import json_text

if TYPE_CHECKING:
    from qstar_infer.checkpoint.inspection.facts import Inspection

REFUSED_EXIT_CODE = 1


def inspect(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[CHECKPOINT]",
            help="lab, a checkpoint directory, a .gguf file, a hub id, or a pickle, which is not "
            "opened; default: the default model.",
        ),
    ] = None,
    *,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub repository.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Directory or hub id of a tokenizer to use in place of its own."),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a checkpoint and say why it would be refused, without loading its weights.

    The exit code is 0 if it would load and 1 if it would be refused.
    """
    inspection = _inspect(source, revision, tokenizer)
    if is_json:
        sys.stdout.write(json_text(inspection.to_json(), encoding=sys.stdout.encoding) + "\n")
    else:
        from qstar_infer.cli.inspection_text import inspection_lines

        console = Console()
        width = console.width if console.is_terminal else None
        for line in inspection_lines(inspection, width=width):
            typer.echo(line)
    if not inspection.would_load:
        raise typer.Exit(REFUSED_EXIT_CODE)


def _inspect(source: str | None, revision: str | None, tokenizer: str | None) -> "Inspection":
    with Console(stderr=True).status("Inspecting"):
        # Imports torch, so only after parsing.
        from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint

        return inspect_checkpoint(source, revision=revision, tokenizer=tokenizer)
