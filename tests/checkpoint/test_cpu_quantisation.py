"""`quantization="int8-cpu"` and `"int4-cpu"`: what is rounded, what stays, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from qstar_infer.checkpoint import describe, load_from_args, load_model, options, save_model
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.kernels.quantised_linear import FORMATS, QuantisedLinear


@pytest.mark.parametrize("name", FORMATS)
def test_a_gpu_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match=f"'{name}' is for CPUs, and the device is cuda"):
        LoadOptions.resolve(dtype="auto", device="cuda", quantization=name)


@pytest.mark.parametrize(("name", "error"), [("int8-cpu", 0.05), ("int4-cpu", 0.6)])
def test_a_checkpoint_is_loaded_rounded(
    golden: Path, tmp_path: Path, name: str, error: float
) -> None:
    """Its output layer, embedding and thought parts stay; its linear layers get smaller."""
    source = golden / "A" / "checkpoint"
    plain = load_model(source, dtype="bfloat16", device="cpu")
    model = load_model(source, dtype="bfloat16", device="cpu", quantization=name)
    rounded = [each for each in model.backbone.modules() if isinstance(each, QuantisedLinear)]
    linears = [each for each in plain.backbone.modules() if type(each) is nn.Linear]
    assert len(rounded) == len(linears) - 1
    assert type(model.backbone.lm_head) is nn.Linear
    bytes_before = sum(each.weight.nbytes for each in linears if each is not plain.backbone.lm_head)
    bits = {"int8-cpu": 9, "int4-cpu": 5}[name]
    assert sum(each.rounded.num_bytes for each in rounded) <= bytes_before * bits / 16
    ids = torch.arange(3, 23)[None]
    got, want = model.think(ids), plain.think(ids)
    difference = (got.base_logits - want.base_logits).norm() / want.base_logits.norm()
    assert 0 < difference < error
    assert f"{name}, computed in bfloat16" in describe(model)
    assert describe(model).split(",")[0] == describe(plain).split(",")[0]
    with pytest.raises(CheckpointError, match="quantised model cannot be saved"):
        save_model(model, tmp_path / "saved")


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
def test_an_engine_takes_the_stored_dtype_on_every_cpu(
    stored: torch.dtype, make_plain: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has kernels for 16-bit weights there; `load_model` alone has not."""
    monkeypatch.setattr(options, "has_fast_bfloat16", lambda _: False)
    directory = make_plain(dtype=stored)
    loaded = load_from_args(EngineArgs(model=str(directory), device="cpu"))
    assert loaded.backbone.dtype == stored
    asked = load_from_args(EngineArgs(model=str(directory), device="cpu", dtype="float32"))
    assert asked.backbone.dtype == torch.float32
    assert load_model(directory, device="cpu").backbone.dtype == torch.float32
