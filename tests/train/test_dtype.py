"""`dtype="auto"`: what `load_model` picks, once for a run; float16 files train in float32."""

import json
from pathlib import Path

import pytest
import torch

from qstar_infer.checkpoint import load_model, save_model
from qstar_train.trainer.model_setup import load_to_train
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.train import train

from .trainer_toys import config_of, write_config

LORA = {"rank": 2, "alpha": 4}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("dtype"))


def in_dtype(config: Path, dtype: torch.dtype) -> str:
    """The toy, saved in another dtype."""
    directory = config.parent / str(dtype)
    model = load_model(config.parent / "toy", dtype="float32", device="cpu")
    model.backbone.to(dtype)  # type: ignore[arg-type]  # wrapped method
    save_model(model, directory)
    return str(directory)


def test_auto_is_what_loading_picks(config: Path) -> None:
    path = in_dtype(config, torch.bfloat16)
    picked = load_model(path, dtype="auto", device="cpu").dtype
    model, resolved = load_to_train(config_of(config, model=path, dtype="auto"), device="cpu")
    assert resolved.dtype == str(picked).removeprefix("torch.")
    assert model.dtype == torch.float32  # full fine-tuning updates float32 weights
    lora = config_of(config, model=path, dtype="auto", lora=LORA)
    frozen, resolved = load_to_train(lora, device="cpu")
    assert resolved.dtype == str(picked).removeprefix("torch.")
    assert frozen.backbone.lm_head.weight.dtype == picked


def test_float16_files_train_in_float32(config: Path) -> None:
    path = in_dtype(config, torch.float16)
    wanted = config_of(config, model=path, dtype="auto", lora=LORA)
    model, resolved = load_to_train(wanted, device="cpu")
    assert resolved.dtype == "float32"
    assert model.backbone.lm_head.weight.dtype == torch.float32


def test_a_run_keeps_the_dtype_that_it_started_with(config: Path, tmp_path: Path) -> None:
    """On another machine `auto` may mean another dtype, and the run would change its arithmetic."""
    wanted = config_of(config, dtype="auto", steps=1, output=str(tmp_path / "run"))
    train(wanted)
    directory = RunDirectory(tmp_path / "run")
    inputs = json.loads(directory.inputs.read_text())
    assert inputs["dtype"] == "float32"
    training = json.loads((directory.model / "quiet_star.json").read_text())["training"]
    assert training["settings"]["dtype"] == "float32"
    directory.inputs.write_text(json.dumps(inputs | {"dtype": "bfloat16"}))
    assert directory.with_dtype(wanted).dtype == "bfloat16"
    assert RunDirectory(tmp_path / "other").with_dtype(wanted).dtype == "auto"


def test_auto_trains_as_the_dtype_it_picks(config: Path, tmp_path: Path) -> None:
    for dtype in ("auto", "float32"):
        train(config_of(config, dtype=dtype, steps=1, output=str(tmp_path / dtype)))
    weights = [
        (tmp_path / dtype / "states" / "step-000001" / "weights.safetensors").read_bytes()
        for dtype in ("auto", "float32")
    ]
    assert weights[0] == weights[1]
