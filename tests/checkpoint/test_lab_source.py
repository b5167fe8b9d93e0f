"""The source `lab` is the packaged lab model, wherever the command runs."""

import logging
import shutil
from pathlib import Path

import pytest
import torch

from qstar_eval.checkpoints import find_checkpoints
from qstar_infer import LLM
from qstar_infer.checkpoint import describe, init_model, lab, load_model, options, save_model
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import DataConfig, SourceConfig, TrainConfig
from qstar_train.fingerprint import fingerprint_of
from qstar_train.trainer.model_setup import model_to_train

from ..lab.toy_model import save_toy_lab


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_lab(tmp_path_factory.mktemp("lab") / "lab_model")


@pytest.fixture
def packaged(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy as package data, and an empty working directory."""
    directory = tmp_path / "package" / "lab_model"
    shutil.copytree(saved, directory)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(lab, "LAB_DIRECTORY", directory)
    return directory


@pytest.fixture
def other(packaged: Path) -> QuietStarModel:
    """Another model, in a directory called lab in the working directory."""
    del packaged
    return load_model(save_toy_lab(Path("lab"), seed=1))


def same_weights(one: QuietStarModel, two: QuietStarModel) -> bool:
    values = two.state_dict()
    return all(torch.equal(value, values[name]) for name, value in one.state_dict().items())


def test_lab_is_the_packaged_model(packaged: Path) -> None:
    model = load_model("lab")
    assert same_weights(model, load_model(packaged))
    assert model.name == "qstar-lab"
    assert describe(model).startswith("qstar-lab (")
    llm = LLM("lab")
    assert llm.model_info.name == "qstar-lab"
    llm.close()


@pytest.mark.parametrize("is_fast", [True, False])
def test_it_is_computed_in_float32_on_every_machine(
    packaged: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    del packaged
    monkeypatch.setattr(options, "has_fast_bfloat16", lambda _: is_fast)
    assert load_model("lab").dtype == torch.float32


def test_a_directory_of_this_name_changes_nothing_and_is_mentioned(
    packaged: Path, other: QuietStarModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = load_model("lab")
    assert same_weights(model, load_model(packaged))
    assert not same_weights(model, other)
    assert "give ./lab" in caplog.text


@pytest.mark.parametrize("source", ["./lab", Path("lab"), Path("./lab"), "lab/"])
def test_a_path_is_the_directory(
    other: QuietStarModel, source: str | Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = load_model(source)
        llm = LLM(source)
    assert same_weights(model, other)
    assert same_weights(llm.model, other)
    assert model.name == llm.model_info.name == "lab"
    assert "give ./lab" not in caplog.text
    llm.close()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_over_a_directory_of_this_name(
    adapted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its base is relative to the adapter, also when both are in the working directory."""
    (adapted.parent / "plain").rename(adapted / "lab")
    text = (adapted / "adapter_config.json").read_text(encoding="utf-8")
    (adapted / "adapter_config.json").write_text(text.replace("../plain", "lab"), encoding="utf-8")
    monkeypatch.chdir(adapted)
    assert load_model(".").can_think


@pytest.mark.parametrize("name", lab.LAB_FILES)
def test_an_incomplete_installation_is_an_error_that_says_so(packaged: Path, name: str) -> None:
    (packaged / name).unlink()
    wanted = rf"The lab model is incomplete: .*lab_model lacks {name}\. Install qstar again"
    with pytest.raises(CheckpointError, match=wanted):
        load_model("lab")


def test_a_revision_is_a_wrong_argument(packaged: Path) -> None:
    del packaged
    with pytest.raises(ConfigError, match="revision='v1' was given, but the lab model is part of"):
        load_model("lab", revision="v1")


def test_it_can_be_inspected(packaged: Path) -> None:
    inspection = inspect_checkpoint("lab")
    assert inspection.problems == []
    assert inspection.kind == "lab model: native checkpoint"
    assert inspection.location == str(packaged)


def test_an_inspection_of_an_incomplete_one_does_not_look_at_a_directory(
    packaged: Path, other: QuietStarModel
) -> None:
    del other
    (packaged / "tokenizer.json").unlink()
    Path("lab", "weights.bin").touch()
    inspection = inspect_checkpoint("lab")
    assert not inspection.would_load
    assert "lacks tokenizer.json" in inspection.problems[0]
    assert inspection.safety.pickles == []


def test_a_copy_is_the_same_model(packaged: Path) -> None:
    save_model(load_model("lab", dtype="stored"), "copy")
    copy = load_model("copy")
    assert same_weights(copy, load_model(packaged))
    assert copy.config == load_model(packaged).config
    assert copy.tokenizer.chat_template == load_model(packaged).tokenizer.chat_template
    assert {path.name for path in Path("copy").iterdir()} == set(lab.LAB_FILES)


def test_it_has_thought_parts_already(packaged: Path) -> None:
    del packaged
    with pytest.raises(CheckpointError, match="lab has thought parts already"):
        init_model("lab", num_thought_tokens=2)


def test_a_model_made_of_a_directory_of_this_name_says_so(other: QuietStarModel) -> None:
    plain = QuietStarModel(other.backbone, other.tokenizer)
    save_model(plain, "base")
    Path("lab").rename("away")
    Path("base").rename("lab")
    config = init_model(Path("lab"), num_thought_tokens=2).config
    assert config is not None
    assert config.base_model == "./lab"


def test_it_can_be_trained_further(packaged: Path) -> None:
    data = DataConfig(sources=[SourceConfig(path="x.txt")], window=20)
    configs = [
        TrainConfig(model=model, output="run", data=data, steps=1, thought_lengths=[2])
        for model in ("lab", str(packaged))
    ]
    one, two = (model_to_train(config, device="cpu") for config in configs)
    assert one.can_think
    assert same_weights(one, two)
    assert fingerprint_of("lab") == fingerprint_of(str(packaged))


def test_it_can_be_evaluated(packaged: Path) -> None:
    (found,) = find_checkpoints(["lab"])
    assert (found.label, found.source) == ("qstar-lab", "lab")
    assert found.fingerprint == fingerprint_of(str(packaged))
