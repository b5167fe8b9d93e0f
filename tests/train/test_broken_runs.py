"""Runs whose files are torn, odd or cannot be written: each is named, and nothing more is lost."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.errors import CheckpointError, ConfigError
from qstar_train.trainer.loop import train
from qstar_train.trainer.run_directory import RunDirectory

from .trainer_toys import settings_of, write_config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("broken"))


def run(config: Path, directory: Path, *, resume: bool = False, **changes: Any) -> Path:
    train(settings_of(config, output=str(directory), **changes), resume=resume)
    return directory


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file can grow past so many bytes: the writing fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_torn_within_a_character_is_cut_before_it(config: Path, tmp_path: Path) -> None:
    """It ended the resumed run with a UnicodeDecodeError."""
    directory = RunDirectory(tmp_path)
    for step in (1, 2):
        directory.append(directory.samples, {"step": step, "thought": "é"})
    whole = directory.samples.read_bytes()
    directory.samples.write_bytes(whole[: whole.rindex("é".encode()) + 1])
    directory.begin(settings_of(config), {}, 2)
    assert json.loads(directory.samples.read_bytes()) == {"step": 1, "thought": "é"}


def test_a_beginning_that_is_cut_off_leaves_the_run_as_it_was(config: Path, tmp_path: Path) -> None:
    """It left half of settings.yaml, and a run that could not be resumed."""
    directory = RunDirectory(tmp_path)
    directory.append(directory.metrics, {"step": 1, "loss": "1.0" * 50})
    directory.begin(settings_of(config), {"model": "1" * 100}, 1)
    files = (directory.settings, directory.inputs, directory.metrics)
    before = [path.read_bytes() for path in files]
    with full_disk(60), pytest.raises(CheckpointError, match=r"settings\.yaml cannot be written"):
        directory.begin(settings_of(config), {}, 1)
    with full_disk(60), pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be written"):
        directory.append(directory.metrics, {"step": 2})
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_where_the_states_go_is_named_before_the_model_is_loaded(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    """It ended in a NotADirectoryError, once the first steps had been made."""
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    settings = settings_of(config, output=str(directory.path))
    if resume:
        directory.begin(settings, {}, 0)
    directory.states.write_text("")
    monkeypatch.setattr(
        "qstar_train.trainer.loop.model_to_train", lambda *_, **__: pytest.fail("loaded")
    )
    with pytest.raises(ConfigError, match=r"output = .*run cannot be made: .*states'\. Give"):
        train(settings, resume=resume)
