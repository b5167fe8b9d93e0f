"""Each mode of LoRA computes what peft's unmerged model computes, loaded and saved again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import load_model, save_model

from .toys import QV, Workshop, logits_of, our_logits, peft_logits, stock

ALL = {"target_modules": "all-linear"}
EMBED = {"target_modules": ["q_proj", "embed_tokens"]}
HEAD = {"target_modules": ["q_proj", "lm_head"]}
BOTH = {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}
SAVE_EMBED = QV | {"modules_to_save": ["embed_tokens"]}
SAVE_HEAD = QV | {"modules_to_save": ["lm_head"]}
SAVE_BOTH = QV | {"modules_to_save": ["embed_tokens", "lm_head"]}
TOKENS = QV | {"trainable_token_indices": [3, 42, 300]}
TIE = {"ensure_weight_tying": True}

LAYERS: dict[str, dict[str, Any]] = {
    "attention": {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    "all linear layers": ALL,
    "pattern": {"target_modules": r".*layers\.1\..*(q|up)_proj"},
    "excluded": ALL | {"exclude_modules": ["k_proj", "layers.0.mlp.up_proj"]},
    "some layers": QV | {"layers_to_transform": [1], "layers_pattern": "layers"},
    "rank pattern": QV | {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.v_proj": 6}},
    "alpha pattern": QV | {"alpha_pattern": {"^model.layers.0.self_attn.q_proj": 24}},
    "rslora": QV | {"use_rslora": True, "rank_pattern": {"q_proj": 2}},
    "dora": ALL | {"use_dora": True},
    "dora and rslora": QV | {"use_dora": True, "use_rslora": True},
    "dropout": QV | {"lora_dropout": 0.5},
    "saved norm": QV | {"modules_to_save": ["norm", "input_layernorm"]},
    "saved part of a layer": QV | {"modules_to_save": ["mlp"]},
    "saved layer": QV | {"modules_to_save": ["layers.1"]},
    "saved layer with adapters inside": ALL | {"modules_to_save": ["mlp"]},
    "gaussian": QV | {"init_lora_weights": "gaussian"},
    "orthogonal": QV | {"init_lora_weights": "orthogonal"},
    "eva": QV | {"init_lora_weights": "eva"},
    "mica": QV | {"init_lora_weights": "mica"},
    "lora_ga": QV | {"init_lora_weights": "lora_ga"},
    "pissa": QV | {"init_lora_weights": "pissa"},
    "olora": QV | {"init_lora_weights": "olora"},
}
EMBEDDINGS: dict[str, dict[str, Any]] = {
    "embedding": EMBED,
    "head": HEAD,
    "parameters": {"target_modules": [], "target_parameters": ["lm_head.weight", "q_proj.weight"]},
    "adapted and saved head": HEAD | {"modules_to_save": ["lm_head"]},
    "both": BOTH,
    "rslora": BOTH | {"use_rslora": True},
    "dora": BOTH | {"use_dora": True},
    "saved embedding": SAVE_EMBED,
    "saved head": SAVE_HEAD,
    "saved both": SAVE_BOTH,
    "adapted embedding, saved head": EMBED | {"modules_to_save": ["lm_head"]},
    "adapted head, saved embedding": HEAD | {"modules_to_save": ["embed_tokens"]},
    "tokens": TOKENS,
    "tokens of both": QV | {"trainable_token_indices": {"embed_tokens": [3, 9], "lm_head": [3, 9]}},
    "other tokens of both": QV
    | {"trainable_token_indices": {"embed_tokens": [3], "lm_head": [8, 9]}},
    "tokens of the head": QV | {"trainable_token_indices": {"lm_head": [3, 300]}},
    "pissa of the head": HEAD | {"init_lora_weights": "pissa"},
    "olora of the head": HEAD | {"init_lora_weights": "olora"},
}
TYING: dict[str, dict[str, Any]] = {
    "embedding": EMBED | TIE,
    "saved embedding": SAVE_EMBED | TIE,
    "saved head": SAVE_HEAD | TIE,
    "saved both": SAVE_BOTH | TIE,
    "tokens": TOKENS | TIE,
    "dora": EMBED | TIE | {"use_dora": True},
}
C_ATTN: dict[str, Any] = {"target_modules": ["c_attn"]}
EXPERTS: dict[str, Any] = {
    "target_modules": [],
    "target_parameters": ["experts.gate_up_proj", "experts.down_proj"],
}
ARCHITECTURES: list[tuple[str, str, dict[str, Any]]] = [
    ("qwen2", "all biases", QV | {"bias": "all"}),
    ("qwen2", "biases of adapted layers", ALL | {"bias": "lora_only"}),
    ("qwen2", "bias in lora_B", QV | {"lora_bias": True}),
    ("qwen2", "dora", QV | {"use_dora": True}),
    ("biased", "all biases", ALL | {"bias": "all"}),
    ("biased", "bias in lora_B", ALL | {"lora_bias": True}),
    ("gpt2", "conv1d", {"target_modules": ["c_attn", "c_proj", "c_fc"]}),
    ("gpt2", "fan_in_fan_out", C_ATTN | {"fan_in_fan_out": True}),
    ("gpt2", "dora", C_ATTN | {"fan_in_fan_out": True, "use_dora": True}),
    ("gpt2", "embeddings", {"target_modules": ["c_attn", "wte", "lm_head"]}),
    ("gpt2", "positions", {"target_modules": ["c_attn", "wpe"]}),
    ("gpt2", "all biases", C_ATTN | {"bias": "all"}),
    ("gpt2", "pissa", C_ATTN | {"init_lora_weights": "pissa", "fan_in_fan_out": True}),
    ("gemma", "embedding", EMBED),
    ("gemma", "dora of the embedding", EMBED | {"use_dora": True}),
    ("gemma", "saved embedding", SAVE_EMBED),
    ("gemma", "tokens", TOKENS),
    ("moe", "experts", EXPERTS),
    ("moe", "all linear layers", ALL),
    ("moe", "experts and layers", QV | {"target_parameters": ["experts.down_proj"]}),
]
CASES = [
    *(("llama", mode, settings) for mode, settings in LAYERS.items()),
    *(("llama", f"{mode} (embeddings)", settings) for mode, settings in EMBEDDINGS.items()),
    *(("tied", f"{mode} (embeddings)", settings) for mode, settings in EMBEDDINGS.items()),
    *(("tied", f"{mode} (ensure_weight_tying)", settings) for mode, settings in TYING.items()),
    *ARCHITECTURES,
]


@pytest.mark.parametrize(
    ("base", "mode", "settings"), CASES, ids=[f"{b}: {m}" for b, m, _ in CASES]
)
def test_mode(
    workshop: Workshop, tmp_path: Path, base: str, mode: str, settings: dict[str, Any]
) -> None:
    """The tolerance is that of float32 sums in another order; logits reach about 10."""
    path = workshop.base(base)
    adapter = workshop.adapter(f"{base} {mode}", path, **settings)
    wanted = peft_logits(adapter, path)
    assert (wanted - logits_of(stock(path))).abs().max() > 0.01, "the adapter changes nothing"
    model = load_model(adapter, dtype="float32", device="cpu")
    torch.testing.assert_close(our_logits(model), wanted, rtol=1e-4, atol=1e-4)
    assert model.backbone.state_dict().keys() == stock(path).state_dict().keys()
    if base in ("tied", "gpt2", "gemma", "moe"):  # what is saved may be tied again, or renamed
        save_model(model, tmp_path / "saved")
        saved = load_model(tmp_path / "saved", dtype="float32", device="cpu")
        torch.testing.assert_close(our_logits(saved), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["all linear layers", "dora", "saved norm"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_merged_before_rounding(
    workshop: Workshop, mode: str, dtype: torch.dtype
) -> None:
    """In float32 it equals peft; in its own dtype it is that, rounded once."""
    path = workshop.base("llama", dtype=dtype)
    adapter = workshop.adapter(f"llama {mode} {dtype}", path, **LAYERS[mode])
    exact = load_model(adapter, dtype="float32", device="cpu")
    wanted = peft_logits(adapter, path, dtype=torch.float32)
    torch.testing.assert_close(our_logits(exact), wanted, rtol=1e-4, atol=1e-4)
    rounded = load_model(adapter, dtype="stored", device="cpu").backbone.state_dict()
    for name, tensor in exact.backbone.state_dict().items():
        assert torch.equal(rounded[name], tensor.to(dtype)), name
