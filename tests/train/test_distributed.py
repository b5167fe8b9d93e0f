"""Two processes on gloo train as one does at the same batch: under accelerate, and under FSDP2."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qstar_train.trainer.train import train

from ..tolerances import TOY_GRADIENT, assert_adam_close
from .sharded_worker import train_steps
from .test_trainer import metrics_of
from .trainer_toys import config_of, write_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("distributed"))


def launch(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in two processes of one thread each."""
    # `accelerate launch --cpu` starts one process whatever it is asked for.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launcher = ("torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    return subprocess.run(
        [sys.executable, "-m", *launcher, *command],
        cwd=ROOT,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_two_processes_give_the_losses_of_one(config: Path, tmp_path: Path) -> None:
    """With windows among them that are not thought about."""
    objective = {"num_talk_tokens": 2, "think_every": 2}
    train(config_of(config, output=str(tmp_path / "one"), objective=objective))
    command = ("-m", "qstar_train", "--config", str(config), "--set", "objective.think_every=2")
    odd = launch(*command, "--set", f"output={tmp_path / 'odd'}", "--set", "batch_size=3")
    assert "cannot be divided evenly among 2 processes" in odd.stderr  # there really are two
    launched = launch(*command, "--set", f"output={tmp_path / 'two'}")
    assert launched.returncode == 0, launched.stderr[-3000:]
    assert launched.stderr.count("The checkpoint is in") == 1  # each process once said so
    one, two = metrics_of(tmp_path / "one"), metrics_of(tmp_path / "two")
    assert len(one) == len(two) == 4
    for ours, theirs in zip(one, two, strict=True):
        # Sums in another order, which Adam's first steps enlarge.
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_what_fails_on_the_main_process_ends_both_with_a_line(config: Path, tmp_path: Path) -> None:
    """The other one ended in a traceback of the network: the main process had gone."""
    text = tmp_path / "text.jsonl"
    text.write_text('{"text": "the cat sat on the mat and the dog ran home"}\n')
    changes = {"output": str(tmp_path / "run"), "steps": 1, "data.sources.0.path": str(text)}
    train(config_of(config, **changes))
    assignments = [each for key, value in changes.items() for each in ("--set", f"{key}={value}")]
    command = ("-m", "qstar_train", "--config", str(config), "--resume", *assignments)
    for content, message in (
        ('{"text": "the dog sat on the mat and the cat ran home"}\n', "other content of data"),
        ("{oops", "cannot be read: JSON parse error"),
    ):
        text.write_text(content)
        ended = launch(*command)
        errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        others = [line for line in errors if message not in line]
        assert len(errors) == 1 + len(others), ended.stderr
        assert all(line.startswith("error: Another training process failed") for line in others)
        assert not re.search('File ".*qstar_train', ended.stderr)


@pytest.mark.parametrize(
    "lora",
    [None, pytest.param({"rank": 2}, marks=pytest.mark.slow)],
    ids=["full", "lora"],
)
def test_fsdp2_with_two_processes_gives_the_weights_of_one(
    config: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    settings = config_of(config, lora=lora, gradient_checkpointing=lora is not None)
    train_steps(settings, tmp_path / "one", rank=0, world=1, resume=False)
    changed = tmp_path / "config.yaml"
    changed.write_text(settings.model_dump_json(), encoding="utf-8")
    two = launch("-m", "tests.train.sharded_worker", str(changed), str(tmp_path / "two"))
    assert two.returncode == 0, two.stderr[-3000:]
    for name in ("weights", "optimizer"):
        file = f"step-000002/{name}.safetensors"
        want, got = load_file(tmp_path / "one" / file), load_file(tmp_path / "two" / file)
        assert set(want) == set(got)
        for key, tensor in want.items():
            if name == "weights":
                assert_adam_close(got[key], tensor, learning_rate=1e-3, num_steps=2, name=key)
                continue
            # The moments are sums of gradients and of their squares.
            atol = 2 * TOY_GRADIENT * float(tensor.abs().max()) + 1e-9
            torch.testing.assert_close(got[key], tensor, rtol=0, atol=atol, msg=key)
