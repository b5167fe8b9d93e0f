"""Runs whose files are torn, odd or cannot be written: each is named, and nothing more is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from qstar_train.trainer.loop import train
from qstar_train.trainer.run_directory import RunDirectory

from .trainer_toys import settings_of, write_config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("broken"))


def run(config: Path, directory: Path, *, resume: bool = False, **changes: Any) -> Path:
    train(settings_of(config, output=str(directory), **changes), resume=resume)
    return directory


def test_a_log_torn_within_a_character_is_cut_before_it(config: Path, tmp_path: Path) -> None:
    """It ended the resumed run with a UnicodeDecodeError."""
    directory = RunDirectory(tmp_path)
    for step in (1, 2):
        directory.append(directory.samples, {"step": step, "thought": "é"})
    whole = directory.samples.read_bytes()
    directory.samples.write_bytes(whole[: whole.rindex("é".encode()) + 1])
    directory.begin(settings_of(config), {}, 2)
    assert json.loads(directory.samples.read_bytes()) == {"step": 1, "thought": "é"}
