"""`qstar init`: fresh thought parts for a language model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qstar_infer.cli import options
from qstar_infer.cli.saving import save_with_progress

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel


def init(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="A language model: a directory, a .gguf file, or a hub id."
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist or is empty.")
    ],
    *,
    num_thought_tokens: Annotated[int, typer.Option(min=1, help="Tokens per thought.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the talk head's weights.")] = 0,
    dtype: options.StoredDtype = "stored",
) -> None:
    """Give a language model fresh thought parts, ready for training."""
    save_with_progress(lambda: _load(source, num_thought_tokens, seed, dtype), source, destination)


def _load(source: str, num_thought_tokens: int, seed: int, dtype: str) -> "QuietStarModel":
    from qstar_infer.checkpoint import init_model  # imports torch, so only after parsing

    return init_model(
        source, num_thought_tokens=num_thought_tokens, seed=seed, dtype=dtype, device="cpu"
    )
