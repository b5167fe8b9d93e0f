"""What tensor parallelism is not for is refused by name, before any process starts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from qstar_infer import LLM
from qstar_infer.checkpoint import save_model
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.runner.tensor_parallel import follower_process

from ...parity.architectures import make_config
from ...parity.toy import byte_tokenizer, make_toy


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_process, "FollowerProcess", None)
    monkeypatch.setattr(follower_process, "COMMAND", None)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("toy") / "toy"
    save_model(make_toy().model, directory)
    return directory


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runner": "llama.cpp"}, "needs the runner torch"),
        ({"quantization": "int8-cpu"}, "quantization='int8-cpu' do not go together"),
        ({"quantization": "int4-cpu"}, "quantization='int4-cpu' do not go together"),
        ({"quantization": "nf4"}, "quantization='nf4' do not go together"),
        ({"device": "cuda:1"}, "device='cuda:1' names one"),
        ({"device": "cuda"}, "needs 2 GPUs, and torch sees 0"),
    ],
)
def test_settings_that_do_not_go_together(
    toy: Path, settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        LLM(str(toy), tensor_parallel_size=2, **settings)


def test_a_machine_with_too_few_gpus(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="needs 2 GPUs, and torch sees 1"):
        LLM(str(toy), tensor_parallel_size=2)
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES="):
        LLM(str(toy), tensor_parallel_size=2, device="cpu")


def test_heads_that_cannot_be_shared_equally(toy: Path) -> None:
    """With 4 heads and 2 of keys and values, three ranks would get parts of heads."""
    with pytest.raises(ConfigError, match=r"has 4 with 2 of keys and values. Possible are 1, 2$"):
        LLM(str(toy), tensor_parallel_size=3, device="cpu")
    with pytest.raises(ConfigError, match="Possible are 1, 2$"):
        LLM(str(toy), tensor_parallel_size=4, device="cpu")


def test_an_architecture_without_a_plan(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(make_config("gpt2")).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no tensor-parallel plan for the architecture gpt2"):
        LLM(str(tmp_path), tensor_parallel_size=2, device="cpu")


def test_a_quantised_checkpoint(tmp_path: Path) -> None:
    save_model(make_toy().model, tmp_path / "toy")
    path = tmp_path / "toy" / "config.json"
    quantised = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": quantised}))
    with pytest.raises(ConfigError, match="not for quantised checkpoints"):
        LLM(str(tmp_path / "toy"), tensor_parallel_size=2, device="cpu")


def test_a_model_that_is_loaded_already() -> None:
    with pytest.raises(ConfigError, match="tensor_parallel_size=2 says how to load a model"):
        LLM(model=make_toy().model, tensor_parallel_size=2)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, None])
def test_a_wrong_number(size: Any) -> None:
    with pytest.raises(ConfigError, match="tensor_parallel_size must be an integer of at least 1"):
        EngineArgs.of(tensor_parallel_size=size)
