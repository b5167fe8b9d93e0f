"""A model is named by where it is, however its path is written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qstar_eval.checkpoints import find_checkpoints
from qstar_infer import LLM, ConfigError
from qstar_infer.checkpoint import load_model
from qstar_infer.engine_args import EngineArgs
from qstar_infer.model.description import describe
from qstar_infer.model.source_name import source_name

ToyMaker = Callable[..., Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two models and links to them; the working directory is inside of a model."""
    for name in ("toy-1/inner", "a.b c", "line\nbreak"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("toy.Q4.gguf", "TOY.GGUF"):
        (tmp_path / name).touch()
    (tmp_path / "latest").symlink_to("toy-1")
    (tmp_path / "latest.gguf").symlink_to("toy.Q4.gguf")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "toy-1")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (".", "toy-1"),
        ("./", "toy-1"),
        ("inner/..", "toy-1"),
        ("../latest", "toy-1"),
        ("../latest/", "toy-1"),
        ("~/toy-1//", "toy-1"),
        ("~/latest/inner/..", "toy-1"),
        ("../toy.Q4.gguf", "toy.Q4"),
        ("../TOY.GGUF", "TOY"),
        ("../latest.gguf", "toy.Q4"),
        ("../a.b c", "a.b c"),
        ("../line\nbreak", "line_break"),
        ("org/name", "name"),
        ("org/name.gguf", "name"),
        ("/", ""),
        ("", ""),
    ],
)
@pytest.mark.usefixtures("tree")
def test_the_name_of_a_source(source: str, name: str) -> None:
    assert source_name(source) == name


def test_a_parent_directory_has_its_own_name(tree: Path) -> None:
    assert source_name("..") == tree.name
    assert source_name("~") == tree.name


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("models--org--toy", "toy"),
        ("models--org--toy--v2", "toy--v2"),
        ("models--toy", "toy"),
        ("datasets--org--toy", COMMIT),
    ],
)
def test_a_snapshot_of_the_hubs_cache_has_its_repositorys_name(
    tmp_path: Path, folder: str, name: str
) -> None:
    snapshot = tmp_path / folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (tmp_path / "link").symlink_to(snapshot)
    assert source_name(str(snapshot)) == source_name(str(tmp_path / "link")) == name
    blob = tmp_path / folder / "blobs" / ("f" * 64)
    blob.parent.mkdir()
    blob.touch()
    (snapshot / "toy-Q4.gguf").symlink_to(blob)
    assert source_name(str(snapshot / "toy-Q4.gguf")) == "toy-Q4"


def test_a_name_that_is_no_text_can_be_sent(tmp_path: Path) -> None:
    """A file's name is bytes, and some are no UTF-8."""
    path = os.fsdecode(bytes(tmp_path) + b"/toy\xff")
    os.mkdir(path)
    assert source_name(path).encode() == b"toy_"


def test_a_model_is_served_under_the_name_of_its_directory(
    make_plain: ToyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_plain(name="toy-1"))
    model = load_model(".", device="cpu")
    assert model.name == "toy-1"
    assert describe(model).startswith("toy-1 (")
    llm = LLM(model=model)
    assert llm.model_info.name == "toy-1"
    llm.close()
    assert [item.label for item in find_checkpoints(["."])] == ["toy-1"]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[2J", 5])
def test_a_served_name_that_no_request_could_give_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match="served_model_name must be a text that can be printed"):
        EngineArgs.of(served_model_name=name)
    assert EngineArgs.of(served_model_name="org/my model").served_model_name == "org/my model"
