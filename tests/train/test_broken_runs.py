"""Runs whose files are torn, odd or cannot be written: each is named, and nothing more is lost."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qstar_infer.errors import CheckpointError, ConfigError
from qstar_train.trainer import state
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.train import train

from .trainer_toys import config_of, write_config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("broken"))


def run(config: Path, directory: Path, *, resume: bool = False, **changes: Any) -> Path:
    train(config_of(config, output=str(directory), **changes), resume=resume)
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
    directory.begin(config_of(config), {}, 2)
    assert json.loads(directory.samples.read_bytes()) == {"step": 1, "thought": "é"}


def test_a_beginning_that_is_cut_off_leaves_the_run_as_it_was(config: Path, tmp_path: Path) -> None:
    """It left half of settings.yaml, and a run that could not be resumed."""
    directory = RunDirectory(tmp_path)
    directory.append(directory.metrics, {"step": 1, "loss": "1.0" * 50})
    directory.begin(config_of(config), {"model": "1" * 100}, 1)
    files = (directory.config, directory.inputs, directory.metrics)
    before = [path.read_bytes() for path in files]
    with full_disk(60), pytest.raises(CheckpointError, match=r"settings\.yaml cannot be written"):
        directory.begin(config_of(config), {}, 1)
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
    settings = config_of(config, output=str(directory.path))
    if resume:
        directory.begin(settings, {}, 0)
    directory.states.write_text("")
    monkeypatch.setattr(
        "qstar_train.trainer.train.load_to_train", lambda *_, **__: pytest.fail("loaded")
    )
    with pytest.raises(ConfigError, match=r"output = .*run cannot be created: .*states'\. Give"):
        train(settings, resume=resume)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSONDecodeError"),
        ("\xff", "UnicodeDecodeError"),
        ("[2]", "TypeError"),
        ("{}", "KeyError: 'step'"),
        ('{"step": "2"}', "ValueError"),
        ('{"step": 1}', "it says step 1"),
    ],
)
def test_a_state_without_its_step_is_named(
    config: Path, tmp_path: Path, text: str, message: str
) -> None:
    """Each ended in a traceback, or in a run at another step."""
    directory = run(config, tmp_path / "run", steps=2, save_every=1)
    path = directory / "states" / "step-000002" / "state.json"
    path.write_bytes(text.encode("latin-1"))
    pattern = rf"state\.json does not belong to step-000002 .*{message}.*\. Delete"
    with pytest.raises(CheckpointError, match=pattern):
        run(config, directory, steps=2, save_every=1, resume=True)


@pytest.mark.parametrize(
    ("file", "name", "shape", "message"),
    [
        ("weights", "talk_head.0.weight", None, r"is missing in the file and has shape \[\d"),
        ("weights", "talk_head.0.weight", [3, 2], r"has shape \[3, 2\] in the file and has shape"),
        ("weights", "odd", [1], r"odd has shape \[1\] in the file and is missing in the model"),
        ("optimizer", "talk_head.0.weight/exp_avg", None, "exp_avg is missing in the file"),
        ("optimizer", "talk_head.0.weight/exp_avg", [3, 2], r"exp_avg has shape \[3, 2\] in the"),
    ],
)
def test_a_state_of_another_model_is_named(
    config: Path, tmp_path: Path, file: str, name: str, shape: list[int] | None, message: str
) -> None:
    """Each ended in a RuntimeError: at loading, or at the first update after it."""
    directory = run(config, tmp_path / "run", steps=1)
    path = directory / "states" / "step-000001" / f"{file}.safetensors"
    tensors = load_file(path)
    key = next((key for key in tensors if key.endswith(name)), name)
    tensors.pop(key, None)
    save_file(tensors if shape is None else {**tensors, key: torch.zeros(shape)}, path)
    pattern = rf"{file}\.safetensors does not fit the model: .*{message}.* Delete .*step-000001;"
    with pytest.raises(CheckpointError, match=pattern):
        run(config, directory, steps=1, resume=True)


def test_a_damaged_state_can_be_deleted(config: Path, tmp_path: Path) -> None:
    """What the errors advise: the run goes on from the one before it, to the same end."""
    directory = run(config, tmp_path / "run", steps=2, save_every=1)
    last = directory / "states" / "step-000002"
    before = (last / "weights.safetensors").read_bytes()
    shutil.rmtree(last)
    run(config, directory, steps=2, save_every=1, resume=True)
    assert (last / "weights.safetensors").read_bytes() == before


def test_a_state_that_does_not_fit_the_disk_is_named_and_the_one_before_it_kept(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended in a SafetensorError, and left half a state on the full disk."""
    whole = run(config, tmp_path / "whole", steps=2, save_every=1)
    size = (whole / "states" / "step-000002" / "weights.safetensors").stat().st_size
    cut = tmp_path / "cut"
    save = state.save_state

    def on_a_full_disk(directory: Path, step: int, *values: Any, **options: Any) -> None:
        with full_disk(size - 1 if step == 2 else 1 << 30):
            save(directory, step, *values, **options)

    with monkeypatch.context() as patch:
        patch.setattr("qstar_train.trainer.loop.save_state", on_a_full_disk)
        with pytest.raises(
            CheckpointError, match=r"step-000002 cannot be written: .*large.* --resume"
        ):
            run(config, cut, steps=2, save_every=1)
    assert [path.name for path in (cut / "states").iterdir()] == ["step-000001"]
    run(config, cut, steps=2, save_every=1, resume=True)
    for file in ("weights", "optimizer"):
        name = f"states/step-000002/{file}.safetensors"
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "file"),
    [("model", "model.safetensors"), ("adapter", "adapter_model.safetensors")],
)
def test_a_checkpoint_that_does_not_fit_the_disk_leaves_the_earlier_one(
    config: Path, tmp_path: Path, name: str, file: str
) -> None:
    """The earlier one was deleted first, and the new one "could not be loaded"."""
    changes: dict[str, Any] = {
        "steps": 1,
        "model": str(config.parent / "plain"),
        "lora": {"rank": 2},
    }
    directory = run(config, tmp_path / "run", **changes)
    before = {path: path.read_bytes() for path in (directory / name).iterdir()}
    message = rf"run/\.?{name} c.* be written: .*[Ll]arge.* Free space"
    limit = len(before[directory / name / file]) - 1
    with full_disk(limit), pytest.raises(CheckpointError, match=message):
        run(config, directory, resume=True, **changes)
    assert {path: path.read_bytes() for path in (directory / name).iterdir()} == before
    assert not list(directory.glob(".*"))
    run(config, directory, resume=True, **changes)
    assert {path: path.read_bytes() for path in (directory / name).iterdir()} == before
