"""Two processes on gloo train as one does at the same batch: under accelerate, and under FSDP2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qstar_train.trainer.loop import train

from .sharded_worker import train_steps
from .test_trainer import metrics_of
from .trainer_toys import settings_of, write_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("distributed"))


def launch(*command: str) -> None:
    """Run a launcher's module with one thread for each process."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_accelerate_with_two_processes_gives_the_losses_of_one(
    config: Path, tmp_path: Path
) -> None:
    train(settings_of(config, output=str(tmp_path / "one")))
    launch(
        *("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "-m", "qstar_train"),
        *("--config", str(config), "--set", f"output={tmp_path / 'two'}"),
    )
    one, two = metrics_of(tmp_path / "one"), metrics_of(tmp_path / "two")
    assert len(one) == len(two) == 4
    for ours, theirs in zip(one, two, strict=True):
        # Sums in another order, which Adam's first steps enlarge.
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("lora", [None, {"rank": 2}], ids=["full", "lora"])
def test_fsdp2_with_two_processes_gives_the_weights_of_one(
    config: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    settings = settings_of(config, lora=lora, gradient_checkpointing=lora is not None)
    train_steps(settings, tmp_path / "one", rank=0, world=1, resume=False)
    changed = tmp_path / "config.yaml"
    changed.write_text(settings.model_dump_json(), encoding="utf-8")
    launch(
        *("torch.distributed.run", "--nproc_per_node", "2", "--standalone"),
        *("-m", "tests.train.sharded_worker", str(changed), str(tmp_path / "two")),
    )
    for name in ("weights", "optimizer"):
        file = f"step-000002/{name}.safetensors"
        one, two = load_file(tmp_path / "one" / file), load_file(tmp_path / "two" / file)
        assert set(one) == set(two)
        for key, tensor in one.items():
            scale = float(tensor.abs().max())
            torch.testing.assert_close(two[key], tensor, rtol=0, atol=1e-4 * scale + 1e-9, msg=key)
