"""`qstar convert`: write any checkpoint in the native format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from qstar_infer.cli import options
from qstar_infer.cli.saving import save_with_progress
from qstar_infer.cli.terminal import safe_text

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A checkpoint directory (published, adapter, plain), a .gguf file, or a hub id.",
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist or is empty.")
    ],
    *,
    num_thought_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens per thought. By default the checkpoint's, inferred if it is a published "
            "one, which does not store it.",
        ),
    ] = None,
    is_literal: Annotated[
        bool,
        typer.Option(
            "--literal",
            help="Store the thought vectors that the published evaluation script feeds, "
            "in place of the trained ones.",
        ),
    ] = False,
    dtype: options.StoredDtype = "stored",
) -> None:
    """Convert a checkpoint to the native format."""
    save_with_progress(
        lambda: _load(source, num_thought_tokens, is_literal, dtype), source, destination
    )


def _load(
    source: str, num_thought_tokens: int | None, is_literal: bool, dtype: str
) -> "QuietStarModel":
    from qstar_infer.checkpoint import load_model  # imports torch, so only after parsing

    model = load_model(
        source,
        dtype=dtype,
        device="cpu",
        num_thought_tokens=num_thought_tokens,
        thought_vectors="literal" if is_literal else "kept",
    )
    if model.config is not None:
        for note in model.config.notes:
            Console(stderr=True).print(safe_text(f"note: {note}", "dim"), soft_wrap=True)
    return model
