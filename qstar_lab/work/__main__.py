"""The process of one stage: `python -m qstar_lab.work SETTINGS.json`."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from qstar_infer.cli.terminal import make_messages_printable, safe_text
from qstar_infer.errors import QStarError
from qstar_lab.work.check_base import check_base
from qstar_lab.work.examples import show_examples
from qstar_lab.work.materials import make_materials
from qstar_lab.work.over_training import measure_over_training
from qstar_lab.work.scores import measure_scores
from qstar_lab.work.served import measure_served
from qstar_lab.work.speed import measure_speed

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


def main(arguments: list[str]) -> int:
    """Do the work of a settings file; the exit code."""
    make_messages_printable()
    logging.basicConfig(level=logging.WARNING)
    settings: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    work = WORK[settings.pop("work")]
    try:
        work(**settings)
    except QStarError as error:
        console = Console(stderr=True)
        console.print(safe_text(f"error: {error}"), soft_wrap=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
