"""Fingerprints of checkpoints: whatever enters a model's weights enters its fingerprint."""

import json
import shutil
from pathlib import Path

import pytest

from qstar_infer.checkpoint import load_source, save_model
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.fingerprint import fingerprint_of
from qstar_train.trainer.train import train

from ..parity.toy import make_toy
from .trainer_toys import config_of, write_config


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy = make_toy().model
    directory = tmp_path_factory.mktemp("checkpoints") / "plain"
    save_model(QuietStarModel(toy.backbone, toy.tokenizer), directory)
    return directory


def adapter_over(base: str, directory: Path) -> Path:
    """As far as a fingerprint looks at an adapter: files, and the name of its base."""
    directory.mkdir()
    (directory / "adapter_model.safetensors").write_bytes(b"weights")
    config = directory / "adapter_config.json"
    config.write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    return directory


def test_it_is_of_the_content_and_not_of_the_place(plain: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(plain, tmp_path / "other"))
    assert fingerprint_of(str(copied)) == fingerprint_of(str(plain))
    (copied / "config.json").write_text("{}")
    assert fingerprint_of(str(copied)) != fingerprint_of(str(plain))


@pytest.mark.parametrize("suffix", ["", ".gguf"])
def test_an_adapters_base_belongs_to_it(plain: Path, tmp_path: Path, suffix: str) -> None:
    """With another base under the same name, records of the old one were taken for its own."""
    base = tmp_path / f"base{suffix}"
    if suffix:
        base.write_bytes(b"weights")
    else:
        shutil.copytree(plain, base)
    adapter = adapter_over(f"../{base.name}", tmp_path / "adapter")
    before = fingerprint_of(str(adapter))
    assert before == fingerprint_of(str(adapter))
    with (base if suffix else base / "config.json").open("a") as file:
        file.write("\n")
    assert fingerprint_of(str(adapter)) != before


def test_the_packaged_base_is_looked_at_where_loading_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "packaged.gguf"
    packaged.write_bytes(b"weights")
    monkeypatch.setattr(load_source, "base_source", lambda: str(packaged))
    adapter = adapter_over(BASE_MODEL, tmp_path / "adapter")
    before = fingerprint_of(str(adapter))
    packaged.write_bytes(b"others!")
    assert fingerprint_of(str(adapter)) != before


def test_a_missing_base_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    adapter = adapter_over("../gone", tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=r"'\.\./gone' is neither a directory"):
        fingerprint_of(str(adapter))


def test_training_does_not_go_on_over_another_base(tmp_path: Path) -> None:
    """`--resume` over an adapter whose base had changed came to weights of neither."""
    config = write_config(tmp_path)
    lora = {"rank": 2, "alpha": 4, "target_modules": ["q_proj"]}
    common = {"steps": 1, "lora": lora}
    first = {"model": str(tmp_path / "plain"), "output": str(tmp_path / "first")}
    train(config_of(config, **common, **first))
    second = {"model": str(tmp_path / "first" / "adapter"), "output": str(tmp_path / "second")}
    train(config_of(config, **common, **second))
    train(config_of(config, **common, **second), resume=True)
    with (tmp_path / "plain" / "config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(ConfigError, match="other content of model, or of the base of its adapter"):
        train(config_of(config, **common, **second), resume=True)
