"""`qstar convert`: write any checkpoint in the native format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from qstar_infer.cli import options
from qstar_infer.cli.saving import save_with_progress
from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A checkpoint directory (published, adapter, plain), a .gguf file, a hub id, or a "
            "Lightning .ckpt with --base.",
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist or is empty.")
    ],
    *,
    base: Annotated[
        str | None,
        typer.Option(
            help="For a Lightning .ckpt of expz/quiet-star only: a directory or hub id with the "
            "config.json and the tokenizer of its base model.",
        ),
    ] = None,
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

    def load() -> "QuietStarModel":
        if base is None:
            model = _load(source, num_thought_tokens, is_literal, dtype)
        else:
            model = _load_lightning(source, base, num_thought_tokens, is_literal, dtype)
        _print_notes(model)
        return model

    save_with_progress(load, source, destination)


def _load(
    source: str, num_thought_tokens: int | None, is_literal: bool, dtype: str
) -> "QuietStarModel":
    from qstar_infer.checkpoint import load_model  # imports torch, so only after parsing

    return load_model(
        source,
        dtype=dtype,
        device="cpu",
        num_thought_tokens=num_thought_tokens,
        thought_vectors="literal" if is_literal else "kept",
    )


def _load_lightning(
    source: str, base: str, num_thought_tokens: int | None, is_literal: bool, dtype: str
) -> "QuietStarModel":
    from qstar_infer.checkpoint.layouts.lightning import convert_lightning  # imports torch

    if is_literal:
        raise ConfigError(
            "--literal applies only to published checkpoints, and --base only to Lightning files. "
            "Leave one of them out."
        )
    return convert_lightning(source, base, dtype=dtype, num_thought_tokens=num_thought_tokens)


def _print_notes(model: "QuietStarModel") -> None:
    if model.config is not None:
        for note in model.config.notes:
            Console(stderr=True).print(Text(f"note: {note}", style="dim"), soft_wrap=True)
