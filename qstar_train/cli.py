"""`qstar train`: train a model and write its checkpoint."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qstar_infer.cli.terminal import safe_text
from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config
from qstar_train.trainer.train import train as run


def train(
    config: Annotated[
        Path, typer.Option("--config", help="A YAML file; see recipes/ for examples.")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a setting, such as optimizer.warmup_steps=5.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue an interrupted run."),
    ] = False,
) -> None:
    """Train a model to think on plain text (Quiet-STaR).

    On several GPUs or nodes: accelerate launch -m qstar_train --config FILE.
    """
    model = run(load_config(TrainConfig, config, assignments or []), resume=resume)
    if os.environ.get("RANK", "0") != "0":  # only one process says it
        return
    place = safe_text(f"The checkpoint is in {model}. Serve it: qstar serve {model}")
    Console(stderr=True).print(place, soft_wrap=True)
