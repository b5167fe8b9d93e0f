"""The loop trains any `TrainingMethod`: here one without thoughts that keeps a state of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from qstar_train.trainer.loop import TrainingLoop
from qstar_train.trainer.method import ThoughtSample
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.state import saved_states

from .trainer_toys import config_of, write_config


class Regression(nn.Module):
    """Fits `target` by a line."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        loss = (self.line(x) - target).pow(2).mean()
        return {"loss": loss, "error": loss.detach(), "num_tokens": torch.ones(())}


class Counting:
    """Its targets grow with every batch that it has made: a state that the step does not tell."""

    metric_names: tuple[str, ...] = ("error",)
    num_rounds = 2

    def __init__(self) -> None:
        self.module: nn.Module = Regression()
        self.count = torch.zeros(1)

    def batches(self, first_step: int) -> Iterator[dict[str, Any]]:
        del first_step
        while True:
            self.count += 1
            yield {"x": torch.tensor([[1.0, self.count.item()]]), "target": self.count[None]}

    def inputs(self) -> dict[str, str]:
        return {}

    def state(self) -> dict[str, Tensor]:
        return {"count": self.count}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.count = state["count"]

    def describe(self, metrics: dict[str, float]) -> str:
        return f"error {metrics['error']:.3f}"

    def samples(
        self, batch: dict[str, Any], output: dict[str, Tensor], step: int
    ) -> list[ThoughtSample]:
        del batch, output, step
        return []


def run(config: Path, output: Path) -> Path:
    """Train to the last step, from the newest state if there is one; the last state."""
    wanted = config_of(config, output=str(output), steps=4, save_every=2)
    directory = RunDirectory(output)
    directory.states.mkdir(parents=True, exist_ok=True)
    loop = TrainingLoop(wanted, directory, accelerator=Accelerator(cpu=True), method=Counting())
    states = saved_states(directory.states)
    loop.run(loop.restore(states[-1] if states else None))
    loop.close()
    return directory.states / "step-000004"


def test_a_resumed_run_has_the_weights_and_the_state_of_a_whole_one(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    whole = run(config, tmp_path / "whole")
    assert load_file(whole / "method.safetensors")["count"].item() == 8
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    shutil.rmtree(cut / "states" / "step-000004")
    again = run(config, cut)
    for file in ("weights", "optimizer", "method"):
        name = f"{file}.safetensors"
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    assert load_file(whole / "weights.safetensors")["line.weight"].abs().min() > 0
