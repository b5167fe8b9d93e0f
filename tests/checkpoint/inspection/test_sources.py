"""What can be inspected beside local checkpoints: the default model, hub ids, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint import default, packaged_base, source
from qstar_infer.checkpoint.default import default_model_directory
from qstar_infer.checkpoint.inspection import inspect
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.errors import ConfigError

from ..gguf.toys import write_toy

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def toy_default(adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy in place of the default model's parts, with an empty cache; returns the cache."""
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged_base, "BASE_FILE", ("absent_package", "x.gguf"))
    monkeypatch.setattr(packaged_base, "BASE_MODEL", str(tmp_path / "plain"))
    monkeypatch.setattr(default, "PARTS_DIRECTORY", adapted)
    monkeypatch.setattr(inspect, "PARTS_DIRECTORY", adapted)
    return tmp_path / "cache"


def test_the_default_model_before_it_is_built(toy_default: Path) -> None:
    inspection = inspect_checkpoint()
    assert inspection.problems == []
    assert inspection.kind == ("default model: native checkpoint, an adapter over a language model")
    assert "not built yet" in inspection.notes[-1]
    assert not toy_default.exists(), "an inspection builds nothing"


def test_the_default_model_once_it_is_built(toy_default: Path) -> None:
    before = inspect_checkpoint()
    directory = default_model_directory()
    inspection = inspect_checkpoint()
    assert inspection.problems == []
    assert inspection.kind == "default model: native checkpoint"
    assert inspection.location == str(directory)
    assert toy_default in directory.parents
    assert inspection.thinking == before.thinking
    assert inspection.model == before.model


def test_a_revision_of_the_default_model_is_a_wrong_argument() -> None:
    with pytest.raises(ConfigError, match="revision='v1' was given without a checkpoint"):
        inspect_checkpoint(revision="v1")


def test_a_hub_id(make_plain: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked: dict[str, Any] = {}

    def snapshot_download(repository: str, **arguments: Any) -> str:
        asked.update(arguments, repository=repository)
        return str(make_plain(name=commit))

    monkeypatch.setattr(source, "snapshot_download", snapshot_download)
    inspection = inspect_checkpoint("org/toy", revision="main")
    assert (asked["repository"], asked["revision"]) == ("org/toy", "main")
    assert inspection.problems == []
    assert (inspection.source, inspection.revision) == ("org/toy", commit)


def test_a_hub_id_that_cannot_be_fetched() -> None:
    (problem,) = inspect_checkpoint("nobody/nothing-here").problems
    assert "nobody/nothing-here" in problem


def test_pickles_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    """A .gguf file may lie beside files that have nothing to do with it."""
    path = write_toy(tmp_path / "x.gguf")
    (tmp_path / "other.bin").write_bytes(b"")
    assert inspect_checkpoint(path).safety.pickles == []
