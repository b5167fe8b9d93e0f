"""Hub ids: only safe files are requested, and failures have clear errors."""

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint import describe, init_model, load_model, source
from qstar_infer.errors import CheckpointError, ConfigError

ToyMaker = Callable[..., Path]


def test_unreachable_hub() -> None:
    with pytest.raises(CheckpointError, match="nobody/nothing-here.*HF_HUB_OFFLINE"):
        load_model("nobody/nothing-here")


def test_unreachable_hub_names_the_revision() -> None:
    with pytest.raises(CheckpointError, match="at revision 'abc'"):
        load_model("nobody/nothing-here", revision="abc")


@pytest.mark.parametrize("kind", ["directory", "default"])
def test_a_revision_of_a_local_source_is_rejected(make_plain: ToyMaker, kind: str) -> None:
    """It used to be ignored."""
    with pytest.raises(ConfigError, match="revision='v1' was given.*Leave it out"):
        load_model(None if kind == "default" else make_plain(), revision="v1")


def test_a_local_directory_wins_over_a_hub_id(
    make_plain: ToyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_plain(name="org/name")
    monkeypatch.chdir(directory.parents[1])
    monkeypatch.setattr(source, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    assert not load_model("org/name").can_think


def test_download(make_plain: ToyMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is named by its hub id, and its commit is recorded as the base's revision."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked: dict[str, Any] = {}

    def snapshot_download(repository: str, **arguments: Any) -> str:
        asked.update(arguments, repository=repository)
        return str(make_plain(name=commit))

    monkeypatch.setattr(source, "snapshot_download", snapshot_download)
    model = init_model("org/toy-model", revision="main")
    assert asked["repository"] == "org/toy-model"
    assert asked["revision"] == "main"
    assert model.config is not None
    assert model.config.base_model == "org/toy-model"
    assert model.config.base_revision == commit
    assert describe(model).startswith("toy-model (")


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "config.json",
        "tokenizer.json",
        "tokenizer.model",
        "chat_template.jinja",
        "merges.txt",
    ],
)
def test_needed_files_are_requested(name: str) -> None:
    assert any(fnmatch(name, pattern) for pattern in source.ALLOWED_PATTERNS)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "modeling_x.py", "optimizer.pth", "x.pkl", "a.ckpt"]
)
def test_pickles_and_code_are_not_requested(name: str) -> None:
    assert not any(fnmatch(name, pattern) for pattern in source.ALLOWED_PATTERNS)


def test_weights_in_the_authors_original_layout_are_not_requested() -> None:
    assert any(fnmatch("consolidated.safetensors", p) for p in source.IGNORED_PATTERNS)
    assert not any(fnmatch("model.safetensors", p) for p in source.IGNORED_PATTERNS)


def test_pickle_only_repository(make_plain: ToyMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_plain()
    (directory / "model.safetensors").unlink()
    names = ["config.json", "pytorch_model.bin"]
    monkeypatch.setattr(source, "snapshot_download", lambda *_, **__: str(directory))
    monkeypatch.setattr(source, "list_repo_files", lambda *_, **__: names)
    with pytest.raises(CheckpointError, match=r"org/toy \(pytorch_model\.bin\) holds pickled"):
        load_model("org/toy")
    monkeypatch.setattr(source, "list_repo_files", lambda *_, **__: 1 / 0)
    with pytest.raises(CheckpointError, match="has no weights"):
        load_model("org/toy")
