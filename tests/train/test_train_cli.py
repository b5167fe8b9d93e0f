"""`qstar train`: what a user types, and what a mistake is answered with."""

import re
import sys
from pathlib import Path

import pytest
from accelerate.utils import LoggerType
from typer.testing import CliRunner

from qstar_infer.checkpoint import load_model
from qstar_infer.cli.main import app
from qstar_infer.errors import ConfigError

from .trainer_toys import write_config

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("cli"))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "objective.num_passes=0",
            r"objective.num_passes = 0: should be greater than or equal to 1",
        ),
        ("optimizer.warmup=3", r"optimizer.warmup is not a setting; did you mean warmup_steps"),
        ("objective.thought_temperature=1.0e-300", r"thought_temperature = 1e-300: should be gr"),
        ("data.window=8.5", r"data.window = 8.5: should be a valid integer"),
        ("data.sources.0.path=nowhere.txt", r"nowhere.txt"),
        ("thought_lengths=[true]", r"thought_lengths = \[True\]: true and false are no value"),
        ("micro_batch_size=3", r"micro_batch_size = 3 does not divide"),
        ("tracker=wandb", r"tracker = wandb, but its package is not installed"),
        ("objective.num_talk_tokens=23", r"data.window = 24 must be at least"),
    ],
)
def test_a_mistake_is_named(config: Path, assignment: str, message: str) -> None:
    result = RUNNER.invoke(app, ["train", "--config", str(config), "--set", assignment])
    assert isinstance(result.exception, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise result.exception


def test_a_tracker_that_cannot_start_is_named(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wandb without a key ended in its own UsageError."""
    (tmp_path / "wandb.py").write_text(
        "class UsageError(Exception): pass\n"
        "def init(**_): raise UsageError('No API key configured')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # Accelerate looks for trackers once, when it is imported.
    monkeypatch.setattr("accelerate.tracking._available_trackers", [LoggerType.WANDB])
    command = ["train", "--config", str(config), "--set", "tracker=wandb"]
    result = RUNNER.invoke(app, [*command, "--set", f"output={tmp_path / 'run'}"])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(
        "tracker = wandb cannot start: UsageError: No API key configured. Log in (wandb login), set"
    )


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `datasets` it said to reinstall the distribution, which changes nothing."""
    for name in [name for name in sys.modules if name.startswith("qstar_train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "datasets", None)
    result = RUNNER.invoke(app, ["train", "--config", "any.yaml"])
    assert isinstance(result.exception, ConfigError)
    assert "datasets" in str(result.exception)
    assert str(result.exception).endswith('; pip install "qstar[train]"')


def test_a_config_is_needed(config: Path) -> None:
    assert RUNNER.invoke(app, ["train"]).exit_code == 2
    result = RUNNER.invoke(app, ["train", "--config", str(config.parent / "none.yaml")])
    assert isinstance(result.exception, ConfigError)


def test_it_trains_a_checkpoint_that_thinks(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    command = ["train", "--config", str(config), "--set", f"output={output}", "--set", "steps=1"]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.exception
    assert load_model(output / "model", device="cpu").can_think
    assert re.search(
        r"^step 1/1 loss \S+ base \S+ reward \S+ weight \S+ \d+ tok/s$", result.stderr, re.M
    )
    # One line, however narrow the terminal, so that it can be copied.
    assert result.stderr.endswith(f"Serve it: qstar serve {output / 'model'}\n")


def test_the_default_base_is_not_quantised(config: Path) -> None:
    command = ["train", "--config", str(config), "--set", "model=null"]
    result = RUNNER.invoke(app, [*command, "--set", "lora={quantization: nf4}"])
    assert isinstance(result.exception, ConfigError)
    assert "lora.quantization = nf4" in str(result.exception)
