"""The work of stages by name. Imports torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qstar_lab.work.check_base import check_base
from qstar_lab.work.examples import show_examples
from qstar_lab.work.materials import make_materials
from qstar_lab.work.over_training import measure_over_training
from qstar_lab.work.scores import measure_scores
from qstar_lab.work.served import measure_served
from qstar_lab.work.speed import measure_speed
from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config
from qstar_train.trainer.train import train

WORK: dict[str, Callable[..., None]] = {
    "materials": make_materials,
    "check-base": check_base,
    "scores": measure_scores,
    "over-training": measure_over_training,
    "examples": show_examples,
    "served": measure_served,
    "speed": measure_speed,
}
"""What `Stage.work` may be, besides `train`. The settings of a stage are the keyword arguments."""


def do_work(work: str, settings: Path, *, resumes: bool) -> None:
    """Do the work of a stage.

    Args:
        settings: a file: YAML for training, JSON for other work.
        resumes: continue an interrupted training run.
    """
    if work == "train":
        train(load_config(TrainConfig, settings), resume=resumes)
    else:
        arguments: dict[str, Any] = json.loads(settings.read_text(encoding="utf-8"))
        WORK[work](**arguments)
