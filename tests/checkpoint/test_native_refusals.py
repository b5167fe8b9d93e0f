"""Errors in `quiet_star.json` and `quiet_star.safetensors` are reported."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.errors import CheckpointError, ConfigError

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": ...}, "has no format_version"),
        ({"format_version": 3}, "format_version 3, and this program reads only 1 and 2"),
        ({"format_version": "1"}, "format_version '1'"),
        ({"format_version": True}, "format_version True"),
        ({"colour": "red", "num_thougt_tokens": 3}, "unknown fields: colour, num_thougt_tokens"),
        ({"num_thought_tokens": ...}, "lacks num_thought_tokens"),
        ({"num_thought_tokens": 0}, "num_thought_tokens must be at least 1, not 0"),
        ({"num_thought_tokens": "5"}, "num_thought_tokens must be int, not '5'"),
        ({"num_thought_tokens": None}, "num_thought_tokens must be int, not None"),
        ({"num_talk_tokens": True}, "num_talk_tokens must be int, not True"),
        (
            {"thought_temperature": 2.5},
            r"thought_temperature must be a number in \[0, 2\], got 2.5",
        ),
        ({"thought_temperature": -1}, r"thought_temperature must be a number in \[0, 2\], got -1"),
        ({"thought_temperature": float("nan")}, "thought_temperature must be a number .* got nan"),
        ({"thought_temperature": "hot"}, "thought_temperature must be int or float or null"),
        ({"start_thought_token_id": -1}, "start_thought_token_id must be at least 0"),
        ({"start_thought_token_id": 7}, "start_thought_token_id = 7 and end_.* = None: give"),
        ({"end_thought_token_id": 7}, "= None and end_thought_token_id = 7: give .* both"),
        (
            {"start_thought_token_id": 7, "end_thought_token_id": 7},
            "the same id, 7, for both delimiters",
        ),
        (
            {"start_thought_token_id": 511, "end_thought_token_id": 512},
            "delimiter id 512, but the embedding has only 512 rows",
        ),
        ({"base_model": 3}, "base_model must be str or null, not 3"),
        ({"training": "yes"}, "training must be dict or null"),
        ({"notes": [1]}, "notes must be a list of strings"),
        ({"talk_head": {"hidden_size": 64}}, "hidden_size is 64, but the backbone is 32 wide"),
        ({"talk_head": ...}, "hidden_size is None"),
    ],
)
def test_wrong_quiet_star_json(
    native: Path, edit_json: JsonEditor, change: dict[str, Any], message: str
) -> None:
    edit_json(native / "quiet_star.json", **change)
    with pytest.raises(CheckpointError, match=message):
        load_model(native)


def test_missing_delimiter_ids_that_the_tokenizer_has(
    published: Path, tmp_path: Path, edit_json: JsonEditor
) -> None:
    save_model(load_model(published), tmp_path / "converted")
    ids = load_model(tmp_path / "converted").delimiter_ids
    path = tmp_path / "converted" / "quiet_star.json"
    edit_json(path, start_thought_token_id=..., end_thought_token_id=...)
    with pytest.raises(CheckpointError, match=f"Set .* to {ids[0]} and .* to {ids[1]}"):
        load_model(tmp_path / "converted")


def test_delimiter_ids_that_differ_from_the_tokenizers(
    published: Path, tmp_path: Path, edit_json: JsonEditor
) -> None:
    """Such a file used to load, so that the real delimiters could be emitted."""
    save_model(load_model(published), tmp_path / "converted")
    path = tmp_path / "converted" / "quiet_star.json"
    edit_json(path, start_thought_token_id=5, end_thought_token_id=6)
    with pytest.raises(CheckpointError, match="has the delimiter ids 5, 6, but .* Set .* to 500"):
        load_model(tmp_path / "converted")


@pytest.mark.parametrize("name", ["<|startthought|>", "<|endthought|>"])
def test_a_tokenizer_that_knows_one_delimiter(native: Path, name: str) -> None:
    """Such a model used to load, so that the delimiter could be emitted."""
    tokenizer = AutoTokenizer.from_pretrained(native)
    tokenizer.add_tokens([name])
    tokenizer.save_pretrained(native)
    with pytest.raises(CheckpointError, match=f"knows {re.escape(name)} as 500 and lacks"):
        load_model(native)


def test_quiet_star_json_is_not_json(native: Path) -> None:
    (native / "quiet_star.json").write_text("{'a': 1}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"quiet_star\.json is not valid JSON"):
        load_model(native)


@pytest.mark.parametrize("name", ["quiet_star.json", "quiet_star.safetensors"])
def test_one_of_the_two_files_is_missing(native: Path, name: str) -> None:
    (native / name).unlink()
    with pytest.raises(CheckpointError, match=f"but not {name}"):
        load_model(native)


@pytest.mark.parametrize("name", ["start_thought", "end_thought", "talk_head.4.weight"])
def test_missing_tensor(native: Path, edit_tensors: TensorEditor, name: str) -> None:
    edit_tensors(native / "quiet_star.safetensors", lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=f"lacks the thought parts {name}"):
        load_model(native)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("start_thought", torch.zeros(1, 32)),
        ("talk_head.0.weight", torch.zeros(64, 128)),
        ("end_thought", torch.zeros(32, dtype=torch.int64)),
    ],
)
def test_misshapen_tensor(
    native: Path, edit_tensors: TensorEditor, name: str, tensor: Tensor
) -> None:
    path = native / "quiet_star.safetensors"
    edit_tensors(path, lambda tensors: tensors.update({name: tensor}))
    with pytest.raises(CheckpointError, match=f"{name} in .* (another model|has dtype I64)"):
        load_model(native)


def test_unknown_tensor(native: Path, edit_tensors: TensorEditor) -> None:
    path = native / "quiet_star.safetensors"
    edit_tensors(path, lambda tensors: tensors.update({"extra": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match="holds unknown tensors: extra"):
        load_model(native)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_not_finite(native: Path, edit_tensors: TensorEditor, value: float) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["end_thought"][7] = value

    edit_tensors(native / "quiet_star.safetensors", spoil)
    with pytest.raises(CheckpointError, match="end_thought .* 1 of 32 values"):
        load_model(native)


def test_too_large_for_float32(native: Path, edit_tensors: TensorEditor) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["end_thought"] = tensors["end_thought"].double()
        tensors["end_thought"][7] = 1e300

    edit_tensors(native / "quiet_star.safetensors", spoil)
    with pytest.raises(CheckpointError, match="end_thought .* 1 of 32 values"):
        load_model(native)


def test_truncated_tensors(native: Path, truncate: Callable[[Path], None]) -> None:
    truncate(native / "quiet_star.safetensors")
    with pytest.raises(CheckpointError, match=r"quiet_star\.safetensors is truncated"):
        load_model(native)


def test_parts_stored_in_bfloat16_are_loaded_in_float32(
    native: Path, edit_tensors: TensorEditor
) -> None:
    def shrink(tensors: dict[str, Tensor]) -> None:
        for name, tensor in list(tensors.items()):
            tensors[name] = tensor.bfloat16()

    edit_tensors(native / "quiet_star.safetensors", shrink)
    parts = load_model(native).thinking_parts
    assert {p.dtype for p in parts.parameters()} == {torch.float32}


def test_length_can_be_overridden(native: Path) -> None:
    model = load_model(native, num_thought_tokens=8)
    assert model.num_thought_tokens == 8
    assert model.config is not None
    assert model.config.notes == [
        "num_thought_tokens = 8 was given by the caller; the checkpoint has 3."
    ]
    assert load_model(native, num_thought_tokens=3).config == load_model(native).config


def test_wrong_and_inapplicable_arguments_are_rejected(native: Path, make_plain: ToyMaker) -> None:
    with pytest.raises(ConfigError, match="applies only to published checkpoints"):
        load_model(native, thought_vectors="literal")
    with pytest.raises(ConfigError, match="num_thought_tokens=0 must be an integer, at least 1"):
        load_model(native, num_thought_tokens=0)
    for wrong in ("5", 2.5, True):
        with pytest.raises(ConfigError, match=f"num_thought_tokens={wrong!r} must be an integer"):
            load_model(native, num_thought_tokens=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="thought_vectors='both' is unknown"):
        load_model(native, thought_vectors="both")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no thought parts and cannot think"):
        load_model(make_plain(name="other"), num_thought_tokens=4)


@pytest.mark.parametrize(("length", "fits"), [(253, True), (254, False), (2 * 10**9, False)])
def test_a_thought_fits_into_the_context(
    length: int, fits: bool, native: Path, edit_json: JsonEditor
) -> None:
    edit_json(native / "quiet_star.json", num_thought_tokens=length)
    if fits:
        assert load_model(native, device="cpu").num_thought_tokens == length
    else:
        with pytest.raises(CheckpointError, match=f"thinks {length} tokens .* context of 256"):
            load_model(native, device="cpu")
