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
    start_token: Annotated[
        str | None,
        typer.Option(
            help="The start vector begins as the embedding of this token.", show_default="of ---"
        ),
    ] = None,
    end_token: Annotated[
        str | None,
        typer.Option(
            help="The end vector begins as the embedding of this token.", show_default="of ---"
        ),
    ] = None,
    dtype: options.StoredDtype = "stored",
) -> None:
    """Give a language model fresh thought parts, ready for training."""

    def load() -> "QuietStarModel":
        from qstar_infer.checkpoint import init_model  # imports torch, so only after parsing

        return init_model(
            source,
            num_thought_tokens=num_thought_tokens,
            seed=seed,
            start_token=start_token,
            end_token=end_token,
            dtype=dtype,
            device="cpu",
        )

    save_with_progress(load, source, destination)
