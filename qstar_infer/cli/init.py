"""`qstar init`: fresh thought parts for a language model, or a model from scratch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qstar_infer.cli import options
from qstar_infer.cli.saving import save_with_progress
from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel


def init(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A language model: a directory, a .gguf file, or a hub id. With --scratch: the "
            "YAML file.",
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist or is empty.")
    ],
    *,
    scratch: Annotated[
        bool,
        typer.Option(
            "--scratch",
            help="Make an untrained model and tokenizer, without thought parts, from a YAML file.",
        ),
    ] = False,
    num_thought_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens per thought.", show_default="5")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the talk head's weights.", show_default="0")
    ] = None,
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
    dtype: Annotated[
        str | None, typer.Option(help=options.STORED_DTYPES, show_default="stored")
    ] = None,
) -> None:
    """Give a language model fresh thought parts, ready for training; or make one from scratch."""
    settings = {
        "num_thought_tokens": num_thought_tokens,
        "seed": seed,
        "start_token": start_token,
        "end_token": end_token,
        "dtype": dtype,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    if scratch:
        _check_nothing_given(given)
        save_with_progress(lambda: _make(Path(source)), source, destination)
    else:
        save_with_progress(lambda: _load(source, given), source, destination)


def _check_nothing_given(given: dict[str, Any]) -> None:
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(
            f"--scratch makes a model without thought parts, in float32, from its file alone, so "
            f"{names} would have no effect. Leave it out; give the model thought parts with a "
            "second `qstar init`."
        )


def _make(path: Path) -> "QuietStarModel":
    from qstar_infer.checkpoint import init_scratch  # imports torch, so only after parsing
    from qstar_infer.checkpoint.scratch.config import read_scratch_config

    return init_scratch(read_scratch_config(path))


def _load(source: str, given: dict[str, Any]) -> "QuietStarModel":
    from qstar_infer.checkpoint import init_model  # imports torch, so only after parsing

    return init_model(source, device="cpu", **given)
