"""dtype, device and quantization are checked before anything is read."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BitsAndBytesConfig

from qstar_infer.checkpoint import describe, load_model, save_model
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.errors import CheckpointError, ConfigError

from ..device import DEVICE

ToyMaker = Callable[..., Path]

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes"
)


def _resolve(**changes: Any) -> LoadOptions:
    return LoadOptions.resolve(
        **{"dtype": "auto", "device": "cpu", "quantization": "none"} | changes
    )


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [
        ("stored", None),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
        (torch.float16, torch.float16),
    ],
)
def test_dtype(asked: Any, resolved: torch.dtype | None) -> None:
    assert _resolve(dtype=asked).dtype is resolved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "int8"}, "dtype='int8' is unknown; use auto, stored, float32"),
        ({"dtype": torch.float64}, "dtype=torch.float64 cannot be computed in"),
        ({"device": "gpu"}, "device='gpu' is unknown; use auto, cpu, cuda or cuda:N"),
        ({"device": "meta"}, "device='meta' is unknown; use auto, cpu, cuda or cuda:N"),
        ({"device": torch.device("xpu:0")}, "device='xpu:0' is unknown"),
        ({"quantization": "int4"}, "quantization='int4' is unknown; use one of none, int8, nf4"),
    ],
)
def test_wrong_option(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _resolve(**change)


def test_cuda_without_a_gpu_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _resolve(device="auto").device == torch.device("cpu")
    with pytest.raises(ConfigError, match="sees no CUDA device"):
        _resolve(device="cuda:1")


def test_a_cuda_index_that_does_not_exist_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to fail with a traceback, after the whole checkpoint had been read."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert _resolve(device="cuda:1").device == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"device='cuda:2'.*sees only cuda:0, cuda:1; use"):
        _resolve(device="cuda:2")


def test_a_quantised_checkpoint_is_loaded_where_it_was_asked_for() -> None:
    """transformers puts it on a GPU, if there is one, unless it is told where."""
    options = _resolve()
    assert "device_map" not in options.from_pretrained_arguments()
    arguments = options.from_pretrained_arguments(is_quantised=True)
    assert arguments["device_map"] == {"": torch.device("cpu")}


def test_options_are_checked_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dtype='double'"):
        load_model(tmp_path / "absent", dtype="double")


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantization_without_bitsandbytes(
    monkeypatch: pytest.MonkeyPatch, quantization: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'pip install "qstar\[quantization\]"'):
        _resolve(quantization=quantization)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_output_embedding_is_never_quantised(
    monkeypatch: pytest.MonkeyPatch, quantization: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    # transformers reads the version of bitsandbytes when it creates the config.
    monkeypatch.setattr(BitsAndBytesConfig, "post_init", lambda _: None)
    config = _resolve(quantization=quantization).from_pretrained_arguments()["quantization_config"]
    assert config.llm_int8_skip_modules == ["lm_head"]
    assert config.load_in_8bit is (quantization == "int8")
    assert config.load_in_4bit is (quantization == "nf4")


@needs_bitsandbytes
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantised_model_thinks(
    golden: Path, tmp_path: Path, quantization: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = golden / "A" / "checkpoint"
    exact = load_model(source, device=DEVICE)
    model = load_model(source, device=DEVICE, quantization=quantization)
    ids = torch.tensor([[1, 40, 300, 7, 99]])
    with torch.no_grad():
        error = (model.think(ids).base_logits - exact.think(ids).base_logits).abs().mean()
    # With random weights, logits have standard deviation 2.5; the mean error is 0.05 for int8 and
    # 0.54 for nf4.
    assert 0 < error < (0.15 if quantization == "int8" else 1.0)
    assert {p.dtype for p in model.thinking_parts.parameters()} == {torch.float32}
    assert type(model.backbone.lm_head) is torch.nn.Linear
    assert f"(138K parameters, {quantization}, computed in" in describe(model)
    assert "inputs will be cast" not in caplog.text, "one line for each call of each layer"
    with pytest.raises(CheckpointError, match="quantised model cannot be saved"):
        save_model(model, tmp_path / "saved")
