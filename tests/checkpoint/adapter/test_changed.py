"""A changed or damaged adapter gives peft's numbers, or is refused; never fresh LoRA weights."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qstar_infer.checkpoint import load_model

from .toys import QV, Workshop, edit_config, edit_tensors, our_logits, peft_logits, refused

Tensors = dict[str, Tensor]
PREFIX = "base_model.model."
Q0 = f"{PREFIX}model.layers.0.self_attn.q_proj"
FILE = "adapter_model.safetensors"

HONOURED: dict[str, dict[str, Any]] = {
    "lora_alpha": {"lora_alpha": 24},
    "lora_alpha of a fraction": {"lora_alpha": 1.5},
    "use_rslora": {"use_rslora": True},
    "alpha_pattern": {"alpha_pattern": {"q_proj": 1}},
    "rank_pattern of another layer": {"rank_pattern": {"k_proj": 3}},
    "fan_in_fan_out": {"fan_in_fan_out": True},
    "bias without biases": {"bias": "all"},
    "lora_dropout": {"lora_dropout": 0.9},
    "modules_to_save of another model": {"modules_to_save": ["score"]},
    "init_lora_weights": {"init_lora_weights": "pissa"},
    "exclude_modules": {"exclude_modules": ["k_proj"]},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "larger r": ({"r": 8}, r"size mismatch for .*lora_A"),
    "smaller r": ({"r": 2}, r"size mismatch for .*lora_A"),
    "r is no number": ({"r": "x"}, "could not be loaded"),
    "r of 0": ({"r": 0}, "could not be loaded"),
    "lora_alpha is no number": ({"lora_alpha": None}, "could not be loaded"),
    "rank_pattern": ({"rank_pattern": {"v_proj": 3}}, "size mismatch"),
    "rank_pattern is no regex": ({"rank_pattern": {"(": 3}}, "could not be loaded"),
    "more modules": ({"target_modules": ["q_proj", "v_proj", "up_proj"]}, r"lacks 4 .*up_proj"),
    "fewer modules": ({"target_modules": ["q_proj"]}, r"holds 4 tensors .*v_proj"),
    "no such module": ({"target_modules": ["query"]}, "could not be loaded"),
    "a pattern of others": (
        {"target_modules": r".*layers\.0.*_proj"},
        r"holds 4 tensors .*layers\.1",
    ),
    "fewer layers": ({"layers_to_transform": [0]}, r"holds 4 tensors .*layers\.1"),
    "excluded": ({"exclude_modules": ["v_proj"]}, r"holds 4 tensors .*v_proj"),
    "dora": ({"use_dora": True}, r"lacks 4 tensors .*lora_magnitude_vector"),
    "lora_bias": ({"lora_bias": True}, r"lacks 4 tensors .*lora_B\.bias"),
    "saved modules": ({"modules_to_save": ["lm_head"]}, r"lacks 1 tensor \(.*\.lm_head\.weight"),
    "tokens": ({"trainable_token_indices": [1]}, "lacks 1 tensor .*trainable_tokens_delta"),
    "parameters": ({"target_parameters": ["k_proj.weight"]}, r"lacks 4 tensors .*k_proj"),
}


@pytest.fixture
def adapter(workshop: Workshop, tmp_path: Path) -> Path:
    made = workshop.directory / "to change"
    if not made.exists():
        workshop.adapter(made.name, workshop.base("llama"), **QV)
    return Path(shutil.copytree(made, tmp_path / "adapter"))


@pytest.mark.parametrize("case", HONOURED)
def test_a_changed_key_is_honoured(workshop: Workshop, adapter: Path, case: str) -> None:
    edit_config(adapter, **HONOURED[case])
    wanted = peft_logits(adapter, workshop.base("llama"))
    got = our_logits(load_model(adapter, dtype="float32", device="cpu"))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", REFUSED)
def test_a_changed_key_does_not_fit(adapter: Path, case: str) -> None:
    changes, message = REFUSED[case]
    edit_config(adapter, **changes)
    refused(adapter, message)


def _drop(tensors: Tensors) -> None:
    del tensors[f"{Q0}.lora_B.weight"]


def _rename(tensors: Tensors) -> None:
    tensors[f"{Q0}.lora_C.weight"] = tensors.pop(f"{Q0}.lora_B.weight")


def _add(tensors: Tensors) -> None:
    tensors[f"{PREFIX}model.layers.7.mlp.up_proj.lora_A.weight"] = torch.zeros(4, 16)


def _transpose(tensors: Tensors) -> None:
    tensors[f"{Q0}.lora_A.weight"] = tensors[f"{Q0}.lora_A.weight"].T


def _round(tensors: Tensors) -> None:
    tensors[f"{Q0}.lora_A.weight"] = (tensors[f"{Q0}.lora_A.weight"] * 100).to(torch.int8)


def _float8(tensors: Tensors) -> None:
    tensors[f"{Q0}.lora_A.weight"] = tensors[f"{Q0}.lora_A.weight"].to(torch.float8_e4m3fn)


def _spoil(tensors: Tensors) -> None:
    tensors[f"{Q0}.lora_A.weight"][0, 0] = float("nan")


def _unprefix(tensors: Tensors) -> None:
    for name in list(tensors):
        tensors[name.removeprefix(PREFIX)] = tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, rf"lacks 1 tensor \({Q0}\.lora_B\.weight\)"),
        (_rename, rf"holds 1 tensor \({Q0}\.lora_C\.weight\)"),
        (_add, r"holds 1 tensor \(.*layers\.7\.mlp\.up_proj\.lora_A\.weight\) that the model does"),
        (_transpose, r"size mismatch for .*q_proj\.lora_A"),
        (_round, rf"{Q0}\.lora_A\.weight in .* has dtype I8"),
        (_float8, r"has dtype F8_E4M3"),
        (_spoil, "NaN or infinite"),
        (_unprefix, "holds 8 tensors"),
        (dict.clear, "lacks 8 tensors"),
    ],
)
def test_a_damaged_tensor(adapter: Path, change: Any, message: str) -> None:
    edit_tensors(adapter, change)
    refused(adapter, message)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_floating_dtype_is_read(
    workshop: Workshop, adapter: Path, dtype: torch.dtype
) -> None:
    def cast(tensors: Tensors) -> None:
        tensors.update({name: tensor.to(dtype) for name, tensor in tensors.items()})

    edit_tensors(adapter, cast)
    wanted = peft_logits(adapter, workshop.base("llama"))
    got = our_logits(load_model(adapter, dtype="float32", device="cpu"))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_base_weight_in_the_adapter_replaces_that_of_the_base(
    workshop: Workshop, adapter: Path
) -> None:
    """So does peft; with tied embeddings both change."""

    def add(tensors: Tensors) -> None:
        tensors[f"{PREFIX}lm_head.weight"] = torch.ones(512, 16).tril()

    edit_tensors(adapter, add)
    for base in ("llama", "tied"):
        edit_config(adapter, base_model_name_or_path=str(workshop.base(base)))
        wanted = peft_logits(adapter, workshop.base(base))
        got = our_logits(load_model(adapter, dtype="float32", device="cpu"))
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_truncated_file(adapter: Path) -> None:
    path = adapter / FILE
    path.write_bytes(path.read_bytes()[:-50])
    refused(adapter, "is truncated or not a safetensors file")


def test_an_adapter_of_another_base(workshop: Workshop, adapter: Path) -> None:
    edit_config(adapter, base_model_name_or_path=str(workshop.base("gpt2")))
    refused(adapter, "could not be loaded")
