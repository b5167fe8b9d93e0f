"""Adapters over a quantised base: their gradients are those over the same weights, written out."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import ObjectiveConfig
from qstar_train.trainer.model_setup import model_to_train
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.train import train

from ..device import DEVICE
from .trainer_toys import config_of, write_config

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes"
)
GOLDEN = Path(__file__).parents[1] / "golden" / "A" / "checkpoint"
LORA: dict[str, Any] = {"rank": 2, "alpha": 4, "target_modules": ["q_proj", "down_proj"]}


@pytest.mark.filterwarnings("default")
def test_gradients_over_4_bits_are_those_over_the_same_weights(tmp_path: Path) -> None:
    """Some CPUs ran 4-bit layers by a kernel without gradients: only the last ones learned."""
    config = write_config(tmp_path)
    common: dict[str, Any] = {"model": str(GOLDEN)}
    quantised = config_of(config, **common, lora=LORA | {"quantization": "nf4"})
    plain = config_of(config, **common, lora=LORA)
    found, expected = (model_to_train(item, device=DEVICE) for item in (quantised, plain))
    write_out_4_bits(found, expected)
    got, wanted = gradients(found), gradients(expected)
    assert got.keys() == wanted.keys()
    assert all(gradient.abs().max() > 0 for name, gradient in got.items() if "lora_B" in name)
    for name, gradient in wanted.items():
        atol = float(1e-3 * gradient.abs().max())
        torch.testing.assert_close(got[name], gradient, rtol=1e-3, atol=atol)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_run_over_a_quantised_base_is_saved_and_resumed(
    tmp_path: Path, quantization: str
) -> None:
    """Over 8 bits the first state ended the run: torch's own gathering asked for a buffer that
    is not there.
    """
    config = write_config(tmp_path)
    lora = LORA | {"quantization": quantization}
    whole = config_of(config, model=str(GOLDEN), lora=lora, steps=4, output=str(tmp_path / "a"))
    train(whole)
    states = tmp_path / "a" / "states"
    weights = (states / "step-000004" / "weights.safetensors").read_bytes()
    shutil.rmtree(states / "step-000004")
    train(whole, resume=True)
    assert (states / "step-000004" / "weights.safetensors").read_bytes() == weights


def write_out_4_bits(quantised: QuietStarModel, plain: QuietStarModel) -> None:
    """Give `plain` the weights that the 4 bits of `quantised` stand for."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    others = dict(plain.backbone.named_modules())
    layers = [
        item for item in quantised.backbone.named_modules() if isinstance(item[1], Linear4bit)
    ]
    assert layers
    for name, layer in layers:
        other = others[name]
        assert isinstance(other, nn.Linear)
        weight = layer.weight
        other.weight.data = dequantize_4bit(weight.data, weight.quant_state).to(torch.float32)


def gradients(model: QuietStarModel) -> dict[str, Tensor]:
    """Of the objective on one batch."""
    module = ObjectiveModule(model, ObjectiveConfig(num_talk_tokens=2))
    input_ids = torch.randint(3, 500, (2, 12), generator=torch.Generator().manual_seed(0))
    output = module(
        input_ids.to(DEVICE), torch.arange(2, device=DEVICE), seed=0, num_thought_tokens=2
    )
    output["loss"].backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
