"""Saving and loading keeps every tensor, bit for bit, and every config."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import init_model, load_model, save_model
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel

ToyMaker = Callable[..., Path]


def assert_same(left: QuietStarModel, right: QuietStarModel) -> None:
    left_state, right_state = left.state_dict(), right.state_dict()
    assert left_state.keys() == right_state.keys()
    for name, tensor in left_state.items():
        assert tensor.dtype == right_state[name].dtype, name
        assert torch.equal(tensor, right_state[name]), name
    assert left.config == right.config
    assert _config(left) == _config(right)
    generation = left.backbone.generation_config, right.backbone.generation_config
    assert generation[0].to_dict() == generation[1].to_dict()
    assert left.tokenizer.get_vocab() == right.tokenizer.get_vocab()
    assert left.tokenizer("some text")["input_ids"] == right.tokenizer("some text")["input_ids"]


def _config(model: QuietStarModel) -> dict[str, Any]:
    """Compare everything except the name, which depends on where a model was loaded from."""
    values: dict[str, Any] = model.backbone.config.to_dict()
    del values["_name_or_path"]
    return values


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_native_round_trip(
    make_plain: ToyMaker, tmp_path: Path, model_type: str, dtype: torch.dtype
) -> None:
    model = init_model(make_plain(model_type, dtype=dtype), num_thought_tokens=4, seed=3)
    assert model.backbone.dtype == dtype
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved", dtype="stored", device="cpu")
    assert_same(model, loaded)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.backbone.parameters())


def test_round_trip_in_shards(make_plain: ToyMaker, tmp_path: Path) -> None:
    model = init_model(make_plain(dtype=torch.bfloat16))
    save_model(model, tmp_path / "saved", max_shard_size="20KB")
    assert len(list((tmp_path / "saved").glob("model-*-of-*.safetensors"))) > 2
    assert_same(model, load_model(tmp_path / "saved", dtype="stored"))


def test_round_trip_with_tied_embeddings(make_plain: ToyMaker, tmp_path: Path) -> None:
    model = init_model(make_plain(tie_word_embeddings=True))
    save_model(model, tmp_path / "saved")
    assert_same(model, load_model(tmp_path / "saved", dtype="stored"))


def test_published_to_native_round_trip(golden: Path, tmp_path: Path) -> None:
    model = load_model(golden / "A" / "checkpoint")
    save_model(model, tmp_path / "saved")
    assert_same(model, load_model(tmp_path / "saved", dtype="stored"))
    config = json.loads((tmp_path / "saved" / "config.json").read_text(encoding="utf-8"))
    assert "max_thoughts" not in config
    assert not [key for key in config if "talk" in key or "think" in key]


def test_trained_parts_and_training_notes_are_saved(native: Path, tmp_path: Path) -> None:
    model = load_model(native)
    assert model.config is not None
    assert model.thought_parts is not None
    torch.manual_seed(1)
    for parameter in model.thought_parts.parameters():
        parameter.data.normal_()
    model.config.notes.append("ünïcode kept")
    save_model(model, tmp_path / "saved")
    assert_same(model, load_model(tmp_path / "saved", dtype="stored"))


def test_plain_model_round_trip(make_plain: ToyMaker, tmp_path: Path) -> None:
    model = load_model(make_plain())
    assert model.thought_parts is None
    assert model.config is None
    save_model(model, tmp_path / "saved")
    assert_same(model, load_model(tmp_path / "saved", dtype="stored"))


def test_dtype_argument_leaves_thought_parts_in_float32(native: Path) -> None:
    model = load_model(native, dtype="bfloat16")
    assert {p.dtype for p in model.backbone.parameters()} == {torch.bfloat16}
    assert model.thought_parts is not None
    assert {p.dtype for p in model.thought_parts.parameters()} == {torch.float32}


def test_a_nonempty_destination_is_not_changed(native: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CheckpointError, match="not empty"):
        save_model(load_model(native), tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_an_empty_destination_is_used(native: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save_model(load_model(native), tmp_path / "empty")
    assert load_model(tmp_path / "empty").num_thought_tokens == 3


def test_a_file_as_destination_is_rejected(native: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="is a file"):
        save_model(load_model(native), tmp_path / "file")


def test_a_failed_save_leaves_no_files(
    native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(native)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(model.tokenizer, "save_pretrained", fail)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="saved could not be written: OSError: disk full"):
        save_model(model, tmp_path / "saved")
    assert sorted(tmp_path.iterdir()) == before


def test_saved_files_are_as_readable_as_others(native: Path, tmp_path: Path) -> None:
    """safetensors and mkdtemp create private files, but a server of another user must read them."""
    plain_file = tmp_path / "plain_file"
    plain_file.write_text("", encoding="utf-8")
    mode = stat.S_IMODE(plain_file.stat().st_mode)
    assert {stat.S_IMODE(path.stat().st_mode) for path in native.iterdir()} == {mode}
