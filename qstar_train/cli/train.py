"""`qstar train`: produce a checkpoint."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from qstar_train.settings import load_settings
from qstar_train.trainer.config import TrainSettings
from qstar_train.trainer.loop import train as run


def train(
    config: Annotated[
        Path, typer.Option("--config", help="A YAML file of settings; see recipes/.")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, as in optimizer.warmup_steps=5."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest saved state of the run.")
    ] = False,
) -> None:
    """Train a model to think on plain text (Quiet-STaR).

    On several GPUs or nodes: accelerate launch -m qstar_train --config FILE.
    """
    model = run(load_settings(TrainSettings, config, assignments or []), resume=resume)
    if os.environ.get("RANK", "0") != "0":  # one of several says it
        return
    console = Console(stderr=True)
    console.print(Text(f"The checkpoint is in {model}. Serve it: qstar serve {model}"))
