"""Checkpoints that transformers saved with weights quantised by bitsandbytes."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.backbone import account_for
from qstar_infer.checkpoint.inventory import judge
from qstar_infer.errors import CheckpointError

from ..device import DEVICE

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes"
    ),
    pytest.mark.filterwarnings("default"),
]

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]

_KINDS: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "nf4 twice": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    },
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "int8": {"load_in_8bit": True},
}
_LAYER = "model.layers.1.self_attn.q_proj."
_FOUR_BIT_PARTS = ("weight", "weight.absmax", "weight.quant_map", "weight.quant_state")
_PARTS = [
    *(("nf4", part) for part in _FOUR_BIT_PARTS),
    *(("nf4 twice", part) for part in (*_FOUR_BIT_PARTS, "weight.nested_absmax")),
    *(("int8", part) for part in ("weight", "SCB", "weight_format")),
]


@pytest.fixture
def quantised(
    make_plain: ToyMaker, tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase
) -> ToyMaker:
    """A quantised checkpoint: `quantised("nf4")`. 4-bit kernels need 64 inputs of a layer."""

    def make(kind: str) -> Path:
        from transformers import BitsAndBytesConfig

        plain = make_plain(hidden_size=64, intermediate_size=64, head_dim=16, initializer_range=0.2)
        model = AutoModelForCausalLM.from_pretrained(
            plain,
            dtype=torch.float32,
            quantization_config=BitsAndBytesConfig(**_KINDS[kind]),
        )
        directory = tmp_path / "quantised"
        model.save_pretrained(directory)
        plain_tokenizer.save_pretrained(directory)
        return directory

    return make


def _stored_name(tensors: dict[str, Tensor], part: str) -> str:
    start = _LAYER + part
    return next(name for name in tensors if name == start or name.startswith(f"{start}.bits"))


def _check_refused(directory: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(directory, dtype="float32", device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", sorted({"cpu", DEVICE}))
@pytest.mark.parametrize("kind", _KINDS)
def test_quantised_checkpoint_computes_what_transformers_computes(
    quantised: ToyMaker, kind: str, device: str
) -> None:
    directory = quantised(kind)
    ids = torch.tensor([[1, 40, 300, 7, 99]])
    # Without a device_map, transformers puts what is quantised on a GPU that is there.
    stock = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, device_map={"": device}
    ).eval()
    with torch.no_grad():
        expected = stock(ids.to(device)).logits
    keys, tensors = account_for(directory)
    for inventory in (keys, tensors):
        judge(inventory)
    assert tensors.used == set(load_file(directory / "model.safetensors"))
    ours = load_model(directory, dtype="float32", device=device)
    assert ours.device.type == torch.device(device).type
    found = ours.think(ids, num_thought_tokens=0).base_logits
    # The layers are the same objects; int8 rounds activations, whose last bits attention changes.
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.std()))


@pytest.mark.parametrize(("kind", "part"), _PARTS)
def test_part_that_is_missing(
    quantised: ToyMaker, edit_tensors: TensorEditor, kind: str, part: str
) -> None:
    directory = quantised(kind)
    edit_tensors(
        directory / "model.safetensors", lambda tensors: tensors.pop(_stored_name(tensors, part))
    )
    _check_refused(directory, rf"(lacks|holds|stored as).*{_LAYER}|{_LAYER}.*stored as")


@pytest.mark.parametrize(("kind", "part"), _PARTS)
def test_part_of_another_shape(
    quantised: ToyMaker, edit_tensors: TensorEditor, kind: str, part: str
) -> None:
    def cut(tensors: dict[str, Tensor]) -> None:
        name = _stored_name(tensors, part)
        flat = tensors[name].flatten()
        tensors[name] = flat[:-1].clone() if len(flat) > 1 else flat.repeat(2)

    directory = quantised(kind)
    edit_tensors(directory / "model.safetensors", cut)
    _check_refused(directory, rf"{_LAYER}.* (of shape|is not the state of a 4-bit weight)")


@pytest.mark.parametrize(
    ("kind", "part"),
    [("nf4", "weight.absmax"), ("nf4 twice", "weight.nested_absmax"), ("int8", "SCB")],
)
def test_scale_that_is_not_finite(
    quantised: ToyMaker, edit_tensors: TensorEditor, kind: str, part: str
) -> None:
    directory = quantised(kind)
    edit_tensors(
        directory / "model.safetensors",
        lambda tensors: tensors[_stored_name(tensors, part)].view(-1)[0].fill_(float("nan")),
    )
    _check_refused(directory, rf"{_LAYER}{part} in .* NaN or infinite")


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_config_and_weights_that_disagree(
    quantised: ToyMaker, edit_json: JsonEditor, kind: str
) -> None:
    directory = quantised(kind)
    config = directory / "config.json"
    own = json.loads(config.read_text(encoding="utf-8"))["quantization_config"]
    swapped = own | {
        "load_in_4bit": own["load_in_8bit"], "load_in_8bit": own["load_in_4bit"],
        "_load_in_4bit": own["load_in_8bit"], "_load_in_8bit": own["load_in_4bit"],
    }  # fmt: skip
    edit_json(config, quantization_config=swapped)
    _check_refused(directory, "by quantization_config in config.json it is")
    edit_json(config, quantization_config=own | {"llm_int8_skip_modules": ["q_proj", "lm_head"]})
    _check_refused(directory, "q_proj.*config.json")
    edit_json(config, quantization_config=...)
    _check_refused(directory, "scaled 8-bit or 4-bit weights")


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_plain_weight_where_a_quantised_one_is_due(quantised: ToyMaker, kind: str) -> None:
    directory = quantised(kind)
    path = directory / "model.safetensors"
    tensors = {k: v for k, v in load_file(path).items() if not k.startswith(_LAYER)}
    save_file({**tensors, f"{_LAYER}weight": torch.ones(64, 64)}, path, metadata={"format": "pt"})
    _check_refused(directory, r"q_proj\.weight .* is not quantised, and by quantization_config")
